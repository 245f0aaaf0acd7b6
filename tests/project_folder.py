"""A project in a temporary folder: built by the real `doit` in a process of its own, or step by step in this process."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from imagegen.backends.base import Backend
from imagegen.config.settings import Settings
from imagegen.errors import Problem
from imagegen.execute.curation import AcceptResult, accept, reroll, take_back_accept
from imagegen.execute.events import Event, Outcome, ProgressEvent
from imagegen.execute.pick import PickResult, pick
from imagegen.execute.run import run
from imagegen.execute.versions import ImageVersion, list_versions, previous_version, restore
from imagegen.plan.output import Output
from imagegen.project import Project
from imagegen.report.console import failures, note_line
from tests.forked import ForkedDoit, may_fork
from tests.scripted import Script, ScriptedBackend

DODO = "from imagegen.tasks import *\n"
JOB: dict[str, Any] = {
    "backend": "scripted",
    "generate": {"width": 64, "height": 64},
    "items": [
        {"name": "Mallsing", "prompt": "a tall figure"},
        {"name": "Yrr", "prompt": "a small figure"},
        {"name": "Okka", "prompt": "a broad figure"},
    ],
    "scripted": {"script": "script.json"},
}
SMALL_JOB: dict[str, Any] = {
    "backend": "scripted",
    "generate": {"width": 32, "height": 32},
    "items": [{"name": "Mallsing", "prompt": "a tall figure"}, {"name": "Yrr", "prompt": "a small figure"}],
}


def items(**prompts: str) -> list[dict[str, Any]]:
    """Return the items of JOB, with other prompts, and more of them."""
    found = {"Mallsing": "a tall figure", "Yrr": "a small figure", "Okka": "a broad figure"} | prompts
    return [{"name": name, "prompt": prompt} for name, prompt in found.items()]


def picture(colour: str = "red", size: tuple[int, int] = (32, 32), kind: str = "png") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


def press_ctrl_c(process: subprocess.Popen[str]) -> str:
    """Press it once, and wait until doit has noticed."""
    assert process.stdout
    process.send_signal(signal.SIGINT)
    read = ""
    while "stopping when" not in read:
        line = process.stdout.readline()
        assert line, read
        read += line
    return read


@dataclass(frozen=True)
class Run:
    """The exit code of one command, and all that it printed."""

    code: int
    out: str
    err: str

    def tasks(self, state: str) -> list[str]:
        """Return the images reported as `generated`, `restored`, `kept` or `failed`."""
        return sorted(re.findall(rf"^{state} +(\S+)  ", self.out, re.MULTILINE))

    @property
    def closing(self) -> str:
        return self.out.strip().splitlines()[-1]

    # with --json

    @property
    def events(self) -> list[dict[str, Any]]:
        """All lines of stdout, the results among them. Each is JSON."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def answer(self) -> dict[str, Any]:
        """The last line: what the last command answered."""
        answer = self.events[-1]
        assert answer["event"] == "result", answer
        return answer

    @property
    def result(self) -> Any:
        return self.answer["result"]

    @property
    def problems(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.answer["problems"]
        return found


class ProjectFolder:
    """`root` has a dodo.py, a script for the scripted backend, and job files as a test writes them."""

    patience_s = 120.0
    """A run that takes longer hangs."""
    called_in: Path | None = None
    """The folder in which doit is called, where that is not `root`."""
    imports_count = False
    """Whether a test is about what doit imports: then Python starts with nothing imported."""

    def __init__(self, root: Path, job: Mapping[str, Any] = JOB) -> None:
        """Write what is not there yet.

        Args:
            job: what a job is, where a test changes nothing.
        """
        self.root = root
        self.base_job = job
        self.log = root / "calls.jsonl"
        self.environment: dict[str, str] = {}
        (root / "jobs").mkdir(parents=True, exist_ok=True)
        if not (root / "dodo.py").exists():
            self.write("dodo.py", DODO)
            self.script()
        # for the steps in this process:
        self.settings = Settings()
        self.backend = ScriptedBackend(Script())
        self.backends: dict[str, Callable[[], Backend]] = {"scripted": lambda: self.backend}
        self.events: list[Event] = []
        self.notes: dict[str, str] = {}
        """Of the last build: the note of each image that was not fresh; the problem of each that failed; all it reports."""
        self.problems: dict[str, Problem] = {}
        self.report = ""

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def job(self, name: str = "portraits", **changes: Any) -> None:
        """Write jobs/NAME.yaml: the base job with these keys in place of its own."""
        job = {**self.base_job, **changes}
        self.write(f"jobs/{name}.yaml", yaml.safe_dump(job, sort_keys=False, allow_unicode=True))

    def script(self, **script: Any) -> None:
        self.write("script.json", json.dumps({"log": str(self.log), **script}))

    def clone(self, root: Path) -> ProjectFolder:
        """Copy the jobs and their lock files, but no images."""
        shutil.copytree(self.root / "jobs", root / "jobs")
        other = ProjectFolder(root, self.base_job)
        other.settings = self.settings
        return other

    def image(self, slug: str, suffix: str = ".png", job: str = "portraits") -> Path:
        return self.root / "assets" / job / f"{slug}{suffix}"

    def lock(self, job: str = "portraits") -> bytes:
        path = self.root / f"jobs/{job}.lock"
        return path.read_bytes() if path.exists() else b""

    def lines(self, job: str = "portraits") -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lock(job).splitlines()]

    def files(self) -> dict[str, bytes]:
        """Read every image in the output folders and among the candidates, by its path in the project."""
        folders = (self.root / "assets", self.root / ".imagegen/candidates")
        found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in found}

    def touch_up(self, slug: str, colour: str = "red") -> bytes:
        data = picture(colour)
        self.image(slug).parent.mkdir(parents=True, exist_ok=True)
        self.image(slug).write_bytes(data)
        return data

    def is_kept(self, data: bytes) -> bool:
        """Return whether these bytes are anywhere: as a file, or in the store."""
        return data in self.files().values() or self.project().store.get(hashlib.sha256(data).hexdigest()) == data

    def git(self, *arguments: str, may_fail: bool = False) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        result = subprocess.run(
            ["git", *identity, *arguments], cwd=self.root, capture_output=True, text=True, check=False
        )
        assert may_fail or result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    # the real doit, in a process of its own

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        folder, variables = self.called_in or self.root, self.process_environment(**environment)
        if not self.imports_count and may_fork(variables):
            return ForkedDoit(arguments, folder, variables)
        return subprocess.Popen(
            [sys.executable, "-m", "doit", *arguments],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def process_environment(self, **environment: str) -> dict[str, str]:
        """Return the environment of a `doit`: this process's without settings of ours, and with these variables."""
        if path := (self.environment | environment).get("PYTHONPATH"):
            environment["PYTHONPATH"] = os.pathsep.join([path, os.environ["PYTHONPATH"]])
        ours = ("DOIT_", "IMAGEGEN_", "COMFYUI_", "OLLAMA_", "SD_", "HF_", "A1111_", "OPENAI_")
        known = {key: value for key, value in os.environ.items() if key != "CI" and not key.startswith(ours)}
        return {**known, **self.environment, **environment}

    def doit(self, *arguments: str, **environment: str) -> Run:
        """Run doit to its end.

        No command of this project ever shows a traceback, and it ends with the highest exit code of its results.
        """
        process = self.start(*arguments, **environment)
        try:
            out, err = process.communicate(timeout=self.patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        assert "Traceback" not in out + err, out + err
        run = Run(process.returncode, out, err)
        if "--json" in arguments and out.startswith("{"):
            code = run.code if run.code >= 0 else 128 - run.code
            assert code == max(line["exit_code"] for line in run.events if line["event"] == "result"), run
        return run

    def is_short(self, *arguments: str, **environment: str) -> bool:
        """Whether `doit` finds that there is nothing to do before it loads any task of ours."""
        if "PYTHONPROFILEIMPORTTIME" not in self.environment:  # a backend of another package may plan by any variable
            self.environment["PYTHONPROFILEIMPORTTIME"] = "1"
            self.doit(*arguments, **environment)
        run = self.doit(*arguments, **environment)
        assert run.code == 0
        return "imagegen.tasks" not in run.err

    def build_job(self, **changes: Any) -> Run:
        """Write the job and have doit build it, for the first time."""
        self.job(**changes)
        run = self.doit()
        assert run.code == 0, run.out + run.err
        return run

    # in this process: each step reads from disk what is there, as a process of its own would

    def project(self) -> Project:
        project = Project(self.root, self.settings, self.backends)
        project.plans()
        return project

    def outputs(self, project: Project | None = None) -> dict[str, Output]:
        plans = (project or self.project()).plans()
        assert not [problem for plan in plans for problem in plan.problems]
        return {output.task: output for plan in plans for output in plan.outputs}

    def build(self, *tasks: str, forced: bool = False) -> dict[str, str]:
        """Build these images, or all. Return what became of each that was not fresh."""
        project = self.project()
        outputs = self.outputs(project)
        events: list[Event] = []
        self.events = events
        selected = [outputs[task] for task in tasks or outputs]
        run(project, selected, events.append, forced=[output.task for output in selected] if forced else ())
        outcomes = [event for event in events if isinstance(event, Outcome)]
        notes = [note_line(event) for event in events if isinstance(event, ProgressEvent) and event.name == "note"]
        self.notes = {one.output.task: one.note for one in outcomes if one.state != "fresh"}
        self.problems = {one.output.task: one.problem for one in outcomes if one.problem}
        self.report = "\n".join([*notes, *failures(outcomes)])
        return {one.output.task: one.state for one in outcomes if one.state != "fresh"}

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

    def take_back_accept(self, task: str) -> AcceptResult:
        project = self.project()
        return take_back_accept(project, self.outputs(project)[task])

    def list_versions(self, task: str) -> list[ImageVersion]:
        project = self.project()
        return list_versions(project, self.outputs(project)[task])

    def restore(self, task: str, number: int | None = None) -> str:
        """Go back to the version of this number in the list, or to the one before."""
        project = self.project()
        output = project.with_origins(self.outputs(project)[task])
        versions = list_versions(project, output)
        is_fresh = project.verdict(output).state != "stale"
        at = previous_version(versions, is_fresh=is_fresh) if number is None else number - 1
        assert at is not None
        return restore(project, output, versions[at])

    # what the scripted backend did, either way

    def calls(self, event: str = "finished") -> list[str]:
        """Return the item's name of every call of the scripted backend that finished so far, or started."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        logged = [(call["event"], call["name"]) for call in map(json.loads, lines)]
        return [name for kind, name in [*logged, *self.backend.events] if kind == event]
