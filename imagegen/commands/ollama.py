"""`doit ollama:setup`: an Ollama that makes images, and the models of the jobs."""

from __future__ import annotations

import math
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from doit.exceptions import TaskFailed

from imagegen.commands.acting import command, demand
from imagegen.commands.build import current_build
from imagegen.commands.command import YES, define
from imagegen.errors import ImagegenError, printable

__all__ = [
    "task_ollama",
]


_OLLAMA = define(
    "ollama:setup",
    "Get an Ollama that generates images (on Apple silicon in tools/ollama), and pull the jobs' models.",
    {"doit ollama:setup": "says how much it downloads, and asks", "doit ollama:setup --yes": "does not ask"},
    [YES],
)


def task_ollama() -> Iterator[dict[str, Any]]:
    """One command, with a basename of its own, like ComfyUI's."""
    yield command(_OLLAMA, _setup)


def _setup(yes: bool) -> TaskFailed | None:
    from imagegen.backends.ollama.install import setup  # what it needs, no other task does
    from imagegen.execute.worker import ImageProgress
    from imagegen.state.mutex import hold

    def ask() -> None:
        if not yes:
            demand("Go on?", "nothing is downloaded", "doit ollama:setup --yes")

    build = current_build()
    requests = [output.request for plan in build.plans for output in plan.outputs]
    models = sorted({request.model for request in requests if request.backend == "ollama"})
    try:
        if build.problems:
            raise ImagegenError(*build.problems)
        for plan in build.plans:
            if plan.problems:
                print(f"{plan.file} is broken, and its models, if any, are left out: doit doctor says why", flush=True)
        with hold(build.root / ".imagegen", build.settings.wait_s):  # it may start the server that a run draws with
            progress = ImageProgress(math.inf, threading.Event(), on_event=_teller())
            setup(build.root, build.settings, models, progress, ask=ask)
    except ImagegenError as error:
        print(error, flush=True)
        return TaskFailed(str(error), report=False)
    except KeyboardInterrupt:
        print("stopped; what came stays, and doit ollama:setup goes on from there", flush=True)
        raise SystemExit(130) from None
    return None


def _teller() -> Callable[[str, dict[str, Any]], None]:
    """What tells of events: notes as lines, what is waited for in place, on a terminal only."""

    def tell(name: str, facts: dict[str, Any]) -> None:
        text = printable(str(facts.get("text", "")))
        if name == "note":
            print(f"\r{text}\x1b[K" if sys.stdout.isatty() else text, flush=True)
        elif sys.stdout.isatty():
            shown = text[: shutil.get_terminal_size().columns - 1]  # a second line could not be written over
            print(f"\r{shown}\x1b[K", end="", flush=True)

    return tell
