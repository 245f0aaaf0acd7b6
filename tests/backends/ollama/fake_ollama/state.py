"""The folder through which a test and the fake one's processes speak: what to play, and what was done."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "NOT_SUPPORTED",
    "Fault",
    "Program",
    "State",
    "cuts_files",
    "draws",
    "number",
    "parses_flags",
    "shows_flags",
]


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong; `details` are its own."""

    kind: str
    details: dict[str, Any]


class State:
    """`folder` has play.json, written by the test, and logs of JSON lines, written by the fake one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def play(self) -> dict[str, Any]:
        """`registry`: models that can be pulled. `faults`: each with id, kind, word, times, details."""
        play: dict[str, Any] = json.loads((self.folder / "play.json").read_text("utf-8"))
        return play

    def write(self, play: dict[str, Any]) -> None:
        """Put it in place at once: a process may be reading."""
        scratch = self.folder / f"play.json.{os.getpid()}"
        scratch.write_text(json.dumps(play), "utf-8")
        scratch.replace(self.folder / "play.json")

    def log(self, name: str, **record: Any) -> None:
        with (self.folder / f"{name}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def logged(self, name: str) -> list[dict[str, Any]]:
        path = self.folder / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []

    def take(self, kinds: Collection[str], text: str) -> Fault | None:
        """The first fault of these kinds whose word is in `text` and that has a time left, which is used up."""
        for fault in self.play["faults"]:
            if fault["kind"] in kinds and fault["word"] in text and self._take(fault):
                return Fault(fault["kind"], fault["details"])
        return None

    def _take(self, fault: dict[str, Any]) -> bool:
        """Whether this process is one of the `times` that it happens to: whoever makes the file has it."""
        if fault["times"] is None:
            return True
        for time in range(fault["times"]):
            try:
                (self.folder / f"fault-{fault['id']}-{time}").touch(exist_ok=False)
            except FileExistsError:
                continue
            return True
        return False


@dataclass(frozen=True)
class Program:
    """`executable` is the file called `ollama`: the MLX libraries are looked for from there."""

    state: State
    version: str
    executable: Path

    def has_mlx(self) -> bool:
        """Whether a libmlxc is in one of the places of any platform."""
        here = self.executable.resolve().parent
        roots = (here / "lib/ollama", here.parent / "lib/ollama", here)
        return any(next(root.glob(pattern), None) for root in roots for pattern in ("mlx_*/libmlxc.*", "libmlxc.*"))


NOT_SUPPORTED = "image generation models are not currently supported"
LAST = (0, 32, 5)


def number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split("."))


def draws(version: str) -> bool:
    """Whether a server of this version makes images."""
    return (0, 14, 2) <= number(version) <= LAST


def parses_flags(version: str) -> bool:
    """Whether `run` takes --width and its kin; 0.14.2 does, and does not tell."""
    return draws(version)


def shows_flags(version: str) -> bool:
    """Whether `run --help` tells of them."""
    return (0, 14, 3) <= number(version) <= LAST


def cuts_files(version: str) -> bool:
    """Whether `run` opens the image files that the prompt names."""
    return (0, 15, 0) <= number(version) <= LAST
