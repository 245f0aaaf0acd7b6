"""A `doit … --json` in a process of its own: what a watch has built is built as `doit` builds it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Child"]


class Child:
    """Runs from its creation on, apart from the terminal: Ctrl-C there reaches it through `interrupt` alone."""

    def __init__(self, words: Sequence[str], folder: Path, take: Callable[[Mapping[str, Any] | None], None]) -> None:
        """Start it. Raises OSError.

        Args:
            words: after `doit`.
            folder: to start it in.
            take: gets each line that it prints, in a thread; None once there are no more.

        """
        self._take = take
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - it is open as long as the process runs
        self._interrupts = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "doit", *words],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            **_APART,
        )
        threading.Thread(target=self._read, name="doit", daemon=True).start()

    def interrupt(self, number: int = signal.SIGINT) -> str:
        """Do what Ctrl-C does, or another signal; the third time, kill it. Return what that means for its images."""
        self._interrupts += 1
        with contextlib.suppress(ProcessLookupError):
            if self._interrupts > 2:
                self._process.kill()
            elif number == signal.SIGTERM:
                self._process.terminate()
            else:
                self._process.send_signal(_INTERRUPT)
        if number == signal.SIGTERM:
            return "stopping"
        first = "stopping when the images in progress are done; Ctrl-C again cancels them"
        return [first, "cancelling", "killed"][min(self._interrupts, 3) - 1]

    def end(self) -> tuple[int, str]:
        """Wait until it has ended. Return its exit code, and what it said besides."""
        code = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace")
        self._errors.close()
        return code, said

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        with self._process.stdout as lines:
            for line in lines:
                with contextlib.suppress(ValueError):  # half a line, if it was killed
                    self._take(json.loads(line))
        self._take(None)


_APART: dict[str, Any]
if sys.platform == "win32":  # only a group of its own can be sent an interrupt, and only this one
    _INTERRUPT = signal.CTRL_BREAK_EVENT
    _APART = {"creationflags": 0x200}  # CREATE_NEW_PROCESS_GROUP of CreateProcess
else:
    _INTERRUPT = signal.SIGINT
    _APART = {"start_new_session": True}
