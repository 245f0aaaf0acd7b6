"""A project whose images are made, decided on and looked at in this process, with the scripted backend."""

from __future__ import annotations

import hashlib
import io
import shutil
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from imagegen.config.settings import Settings
from imagegen.errors import Problem
from imagegen.execute.curation import (
    AcceptResult,
    ImageVersion,
    accept,
    list_versions,
    previous_version,
    reroll,
    restore,
)
from imagegen.execute.events import Event, Outcome, ProgressEvent
from imagegen.execute.pick import PickResult, pick
from imagegen.execute.run import run
from imagegen.plan.output import Output
from imagegen.project import Project
from tests.scripted import Script, ScriptedBackend

JOB: dict[str, Any] = {
    "backend": "scripted",
    "generate": {"width": 32, "height": 32},
    "items": [{"name": "Mallsing", "prompt": "a tall figure"}, {"name": "Yrr", "prompt": "a small figure"}],
}


class Workshop:
    """Each step is as a process of its own would do it: what is on disk is read anew."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.backend = ScriptedBackend(Script())
        self.settings = Settings()
        self.said: dict[str, str] = {}
        """Of the last build: what was noted of each image that was not fresh; the problem of each that failed; all notes."""
        self.problems: dict[str, Problem] = {}
        self.noted: list[str] = []
        (root / "jobs").mkdir(parents=True, exist_ok=True)

    def job(self, name: str = "portraits", **changes: Any) -> None:
        (self.root / f"jobs/{name}.yaml").write_text(yaml.safe_dump(JOB | changes, sort_keys=False))

    def clone(self, root: Path) -> Workshop:
        """A checkout of what is committed: the jobs and their lock files, but no images."""
        other = Workshop(root)
        shutil.copytree(self.root / "jobs", root / "jobs", dirs_exist_ok=True)
        other.settings = self.settings
        return other

    def project(self) -> Project:
        project = Project(self.root, self.settings, {"scripted": lambda: self.backend})
        project.plans()
        return project

    def outputs(self, project: Project | None = None) -> dict[str, Output]:
        plans = (project or self.project()).plans()
        assert not [problem for plan in plans for problem in plan.problems]
        return {output.task: output for plan in plans for output in plan.outputs}

    def build(self, *named: str, forced: bool = False) -> dict[str, str]:
        """What became of each image that was not fresh."""
        project = self.project()
        outputs = self.outputs(project)
        told: list[Event] = []
        selected = [outputs[task] for task in named or outputs]
        run(project, selected, told.append, forced=[output.task for output in selected] if forced else ())
        ends = [event for event in told if isinstance(event, Outcome)]
        self.said = {event.output.task: event.note for event in ends if event.state != "fresh"}
        self.problems = {event.output.task: event.problem for event in ends if event.problem}
        self.noted = [
            str(event.facts["text"]) for event in told if isinstance(event, ProgressEvent) and event.name == "note"
        ]
        return {event.output.task: event.state for event in ends if event.state != "fresh"}

    def notes(self) -> list[str]:
        """What a run with nothing to make has to say."""
        assert self.build() == {}
        return self.noted

    def states(self) -> dict[str, str]:
        project = self.project()
        return {
            task: project.verdict(project.with_origins(output)).state for task, output in self.outputs(project).items()
        }

    def note(self, task: str) -> str:
        project = self.project()
        return project.verdict(self.outputs(project)[task]).note

    def pick(self, base: str, variant: int) -> PickResult:
        return pick(self.project(), "portraits", base, variant)

    def reroll(self, task: str) -> int:
        project = self.project()
        (output,) = reroll(project, [self.outputs(project)[task]])
        assert output.request.seed is not None
        return output.request.seed

    def accept(self, task: str) -> AcceptResult:
        project = self.project()
        return accept(project, self.outputs(project)[task])

    def list_versions(self, task: str) -> list[ImageVersion]:
        project = self.project()
        return list_versions(project, self.outputs(project)[task])

    def restore(self, task: str, number: int | None = None) -> str:
        """number: as the list has it; None: to the one before."""
        project = self.project()
        output = self.outputs(project)[task]
        pasts = list_versions(project, output)
        is_fresh = project.verdict(output).state != "stale"
        at = previous_version(pasts, is_fresh=is_fresh) if number is None else number - 1
        assert at is not None
        return restore(project, output, pasts[at])

    def calls(self) -> int:
        return sum(event == "finished" for event, _ in self.backend.events)

    def path(self, slug: str) -> Path:
        return self.root / f"assets/portraits/{slug}.png"

    def touch_up(self, slug: str, colour: str = "red") -> bytes:
        data = picture(colour)
        self.path(slug).parent.mkdir(parents=True, exist_ok=True)
        self.path(slug).write_bytes(data)
        return data

    def files(self) -> dict[str, bytes]:
        """Every image that there is, in the output folders and among the candidates, by its name there."""
        folders = (self.root / "assets", self.root / ".imagegen/candidates")
        found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in found}

    def is_kept(self, data: bytes) -> bool:
        """Whether these bytes are anywhere: as a file, or in the store."""
        return data in self.files().values() or self.project().store.get(hashlib.sha256(data).hexdigest()) == data

    def lock(self, job: str = "portraits") -> bytes:
        return (self.root / f"jobs/{job}.lock").read_bytes()


def picture(colour: str = "red", size: tuple[int, int] = (32, 32), kind: str = "png") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()
