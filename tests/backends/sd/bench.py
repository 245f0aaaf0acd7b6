"""One backend `sd` in this process, as a run has it: requests, what they report, and what a killed run left."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from imagegen.backends.base import Context, GeneratedImage, GenerationError
from imagegen.backends.managed_server import ProcessIdentity, ServerRecord
from imagegen.backends.sd import SdBackend
from imagegen.backends.sd.server import managed_server
from imagegen.backends.sd.server_log import LOG
from imagegen.calls import run_in_daemon_thread
from imagegen.config.settings import read_settings
from imagegen.execute.worker import ImageProgress
from imagegen.plan.request import Request
from tests.backends.sd.project import SdProject

__all__ = ["NOBODY", "Attempt", "Bench", "Reported", "edit_record", "identity_of"]

NOBODY = ProcessIdentity(2**22 + 1, 1.0)
"""A process that never was."""


class Attempt:
    """An attempt at an image, whose UUID stays the same after a kill."""

    def __init__(self, uuid: str = "attempt-1") -> None:
        self.uuid, self.server = uuid, ""

    def open(self, server: str = "") -> str:
        self.server = server or self.server
        return self.uuid

    def last_server(self) -> str:
        return self.server


class Reported:
    """What an image reported."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, name: str, facts: dict[str, Any]) -> None:
        self.events.append((name, facts))

    def texts(self, name: str) -> list[str]:
        """Return the texts of all `waiting` or `note`."""
        return [facts["text"] for one, facts in self.events if one == name]

    @property
    def steps(self) -> list[tuple[int, int]]:
        return [(facts["done"], facts["total"]) for one, facts in self.events if one == "steps"]


class Bench:
    """`generate` is what a run's executor does for an image."""

    def __init__(self, project: SdProject) -> None:
        self.project, self.fake = project, project.fake
        self.cancel = threading.Event()
        self.files: dict[str, Path] = {}
        self.backend = SdBackend()
        self.reload()

    def reload(self) -> None:
        """Take the settings as they are now."""
        root = self.project.root
        settings = read_settings(root, {}, {})
        self.backend.context = Context(root, settings, lambda name: (root / name).read_bytes())

    def request(self, prompt: str = "a cat", given: Mapping[str, Any] | None = None, **section: Any) -> Request:
        """Return a request with this section, the model `one.safetensors` if it names none."""
        if "diffusion_model" not in section:
            section = {"model": "one.safetensors", **section}
        resolved = self.backend.resolve(section)
        fields = {"width": 64, "height": 64, "steps": 2, "seed": 7, **(given or {})}
        return Request(
            "sd",
            "Name",
            prompt,
            model=resolved.model or "",
            extra=resolved.extra,
            given=tuple(sorted(fields)),
            **fields,
        )

    def generate(
        self,
        request: Request,
        reported: Callable[[str, dict[str, Any]], None] = lambda _name, _facts: None,
        timeout_s: float = 600,
        attempt: str = "attempt-1",
    ) -> GeneratedImage:
        """Have it generated and stored."""
        progress = ImageProgress(timeout_s, self.cancel, Attempt(attempt), reported, self.files)  # type: ignore[arg-type]
        made = self.backend.generate(request, progress)
        made.on_stored()
        return made

    def failure(self, request: Request, **more: Any) -> GenerationError:
        """Return the error with which it fails."""
        try:
            self.generate(request, **more)
        except GenerationError as error:
            return error
        raise AssertionError("it was generated")

    def begin(self, request: Request, reported: Reported | None = None, **more: Any) -> Any:
        """Generate it in a thread; return its future."""
        return run_in_daemon_thread(lambda: self.generate(request, reported or Reported(), **more))

    @property
    def record(self) -> ServerRecord:
        found = managed_server(self.project.root).read_record()
        assert found
        return found

    def as_after_kill(self) -> Bench:
        """Return the next run, which finds what this one left: its process is gone."""
        edit_record(self.project.root, owner=NOBODY)
        return Bench(self.project)

    def close(self) -> None:
        self.backend.close()


def edit_record(root: Path, owner: ProcessIdentity) -> None:
    """Write into the server's record that this process started it."""
    path = (root / LOG).with_suffix(".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "owner": {"pid": owner.pid, "started": owner.started}}))


def identity_of(pid: int) -> ProcessIdentity:
    """Return the identity of a process that runs."""
    return ProcessIdentity(pid, psutil.Process(pid).create_time())
