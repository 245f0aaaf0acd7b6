"""The folder through which a test and the fake server speak: what to play, and what was done."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Fault", "State"]

_POLL_S = 0.02


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong. number: its own, in play.json."""

    number: int
    kind: str
    details: dict[str, Any]


class State:
    """`folder` has play.json, written by the test, and journal.jsonl, written by the fake server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def play(self) -> dict[str, Any]:
        """What the fake server is to do; `fixture.FakeSd` describes it."""
        play: dict[str, Any] = json.loads((self.folder / "play.json").read_text("utf-8"))
        return play

    def write(self, play: dict[str, Any]) -> None:
        """Replace it in one step: a process may be reading."""
        scratch = self.folder / f"play.json.{os.getpid()}"
        scratch.write_text(json.dumps(play), "utf-8")
        scratch.replace(self.folder / "play.json")

    def log(self, event: str, **facts: Any) -> None:
        line = json.dumps({"event": event, "pid": os.getpid(), **facts}) + "\n"
        with (self.folder / "journal.jsonl").open("ab", buffering=0) as journal:
            journal.write(line.encode())

    def logged(self) -> list[dict[str, Any]]:
        path = self.folder / "journal.jsonl"
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []

    def take(self, kind: str, text: str = "") -> Fault | None:
        """Return the first fault of this kind whose word is in `text` and that has a time left, which is used up."""
        for number, fault in enumerate(self.play["faults"]):
            if fault["kind"] == kind and fault["word"] in text and self._take(number, fault["times"]):
                return Fault(number, kind, fault["details"])
        return None

    def _take(self, number: int, times: int | None) -> bool:
        """Return whether this is one of the times that it happens: whoever makes the file has it."""
        for time_ in range(times or 0):
            try:
                (self.folder / f"fault-{number}-{time_}").touch(exist_ok=False)
            except FileExistsError:
                continue
            return True
        return times is None

    def gate(self, number: int) -> Path:
        """Return the file that opens the gate at which a fault waits."""
        return self.folder / f"open-{number}"

    def wait_at_gate(self, fault: Fault) -> None:
        self.log("held", fault=fault.number)
        while not self.gate(fault.number).exists():
            time.sleep(_POLL_S)

    def pause(self, seconds: float) -> None:
        """Take so long."""
        if seconds:
            time.sleep(seconds)

    def end(self, fault: Fault) -> None:
        """Say `lines`, and end by `signal` or with `code`; go on if neither is given."""
        for line in fault.details.get("lines", ()):
            print(line, file=sys.stderr, flush=True)
        if "signal" in fault.details:
            self.log("ends", fault=fault.number)
            os.kill(os.getpid(), fault.details["signal"])
            time.sleep(60)  # it is not waited for: the signal ends it
        if "code" in fault.details:
            self.log("ends", fault=fault.number)
            os._exit(fault.details["code"])
