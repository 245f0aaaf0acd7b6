"""`doit ollama:setup`: an Ollama that generates images, and the models of the jobs."""

from __future__ import annotations

import math
import threading
from typing import Any

from imagegen.commands.build import Build
from imagegen.commands.command import YES, command, require

__all__ = ["setup"]


@command(
    "ollama:setup",
    "Get an Ollama that generates images (on Apple silicon in tools/ollama), and pull the jobs' models.",
    {"doit ollama:setup": "says how much it downloads, and asks", "doit ollama:setup --yes": "does not ask"},
    [YES],
)
def setup(build: Build, *, yes: bool) -> None:
    """Install what is missing, and pull the models that sound jobs name."""
    from imagegen.backends.ollama.install import setup
    from imagegen.execute.worker import ImageProgress
    from imagegen.report.console import StatusLine
    from imagegen.state.mutex import hold

    def ask() -> None:
        if not yes:
            require("Go on?", "nothing was downloaded", "doit ollama:setup --yes")

    requests = [output.request for plan in build.plans for output in plan.outputs]
    models = sorted({request.model for request in requests if request.backend == "ollama"})
    for plan in build.plans:
        if plan.problems:
            print(f"{plan.file} is broken, and its models, if any, are left out: doit doctor says why", flush=True)
    try:
        # it may start the server that a run uses
        with hold(build.root / ".imagegen", build.settings.wait_s), StatusLine() as line:

            def on_event(name: str, facts: dict[str, Any]) -> None:
                text = str(facts.get("text", ""))
                if name == "note":
                    line.note(text)
                elif line.is_terminal:
                    line.show(text)

            progress = ImageProgress(math.inf, threading.Event(), on_event=on_event)
            setup(build.root, build.settings, models, progress, ask=ask)
    except KeyboardInterrupt:
        print("stopped; what was downloaded stays, and doit ollama:setup goes on from there", flush=True)
        raise SystemExit(130) from None
