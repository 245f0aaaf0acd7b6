"""A project whose images a ComfyUI server draws, built in this process; and what its user is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from imagegen.backends.comfyui.backend import ComfyUIBackend
from imagegen.config.settings import Settings
from imagegen.execute.events import Event, Outcome, ProgressEvent
from imagegen.execute.run import run
from imagegen.project import Project
from imagegen.report.console import failures, note_line

__all__ = ["Built", "ServedProject"]


@dataclass(frozen=True)
class Built:
    """states: of each image that was not fresh, by its item's name. said: all that its user is told of it."""

    states: dict[str, str]
    said: str


class ServedProject:
    """Each build is as a process of its own would do it: what is on disk is read anew."""

    def __init__(
        self, root: Path, url: str | Sequence[str], *items: str, timeout_s: float = 30, **changes: Any
    ) -> None:
        self.root, self.urls = root, (url,) if isinstance(url, str) else tuple(url)
        (root / "jobs").mkdir(parents=True)
        self.timeout_s = timeout_s
        self.job("portraits", *items, **changes)
        self.backend = ComfyUIBackend()

    def job(self, name: str, *items: str, **changes: Any) -> None:
        """Write one."""
        job = {
            "backend": "comfyui",
            "generate": {"width": 64, "height": 64, "steps": 4, "timeout_s": self.timeout_s},
            "comfyui": {"checkpoint": "fake.safetensors"},
            "items": [{"name": item, "prompt": f"a {item}"} for item in items or ("fox", "bird")],
            **changes,
        }
        (self.root / f"jobs/{name}.yaml").write_text(yaml.safe_dump(job))

    def build(self) -> Built:
        self.backend = ComfyUIBackend()
        settings = Settings(comfyui_server_urls=self.urls, comfyui_server_start="never")
        project = Project(self.root, settings, {"comfyui": lambda: self.backend})
        plans = project.plans()
        assert not [problem for plan in plans for problem in plan.problems]
        told: list[Event] = []
        run(project, [output for plan in plans for output in plan.outputs], told.append)
        ends = [event for event in told if isinstance(event, Outcome)]
        states: dict[str, str] = {event.output.slug: event.state for event in ends if event.state != "fresh"}
        notes = [note_line(event) for event in told if isinstance(event, ProgressEvent) and event.name == "note"]
        return Built(states, "\n".join([*notes, *failures(ends)]))

    def files(self) -> set[str]:
        """All below the output folder."""
        return {path.relative_to(self.root).as_posix() for path in (self.root / "assets").rglob("*") if path.is_file()}

    def lock(self) -> str:
        path = self.root / "jobs/portraits.lock"
        return path.read_text("utf-8") if path.exists() else ""
