"""`ollama run`."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.backends.ollama.standin.arguments import Arguments
from tests.backends.ollama.standin.connection import FailedError, NotFoundError, ask, stream
from tests.backends.ollama.standin.filenames import cut_files, saved_as
from tests.backends.ollama.standin.formats import duration
from tests.backends.ollama.standin.program import Program
from tests.backends.ollama.standin.pull import pull
from tests.backends.ollama.standin.terminal import Progress, Spinner, StepBar, inline_image
from tests.backends.ollama.standin.versions import NOT_SUPPORTED, cuts_files, draws

__all__ = ["run"]


def run(program: Program, arguments: Arguments) -> None:
    keep_alive = duration(arguments.flags["keepalive"]) if arguments.flags.get("keepalive") else None
    if isinstance(keep_alive, str):
        raise FailedError(keep_alive)
    name, *words = arguments.words
    terminal = bool(sys.stdin and sys.stdin.isatty())
    piped = "" if terminal or not sys.stdin else sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    prompt = " ".join([piped] * bool(piped) + words)
    capabilities = _capabilities(program, name, arguments)
    if "image" not in capabilities:
        for said in stream("/api/generate", {"model": name, "prompt": prompt}):
            sys.stdout.write(said.get("response", ""))
        print("\n")
    elif not draws(program.version):
        raise FailedError(NOT_SUPPORTED)
    elif prompt:
        _generate(program, name, prompt, arguments, keep_alive)
    elif terminal and sys.stdout.isatty():
        sys.stdout.write(">>> ")  # and that is all that is played of talking to a person
    else:
        usage = f'Usage: ollama run {name} "your prompt here"'
        raise FailedError(f"image generation models require a prompt. {usage}")


def _capabilities(program: Program, name: str, arguments: Arguments) -> list[str]:
    """A model that is missing is pulled, however large."""
    try:
        return list(ask("POST", "/api/show", {"model": name})["capabilities"])
    except NotFoundError:
        pull(program, arguments)
        return list(ask("POST", "/api/show", {"model": name})["capabilities"])


def _generate(program: Program, name: str, prompt: str, arguments: Arguments, keep_alive: float | None) -> None:
    for kind in ("stubborn", "child"):
        if program.state.take({kind}, prompt):
            _misbehave(program, kind)
    images: list[str] = []
    if cuts_files(program.version):
        try:
            prompt, images = cut_files(prompt)
        except OSError as error:
            raise FailedError(f"open {error.filename}: {str(error.strerror).lower()}") from None
        except ValueError as error:
            raise FailedError(str(error)) from None
    request = {
        "model": name,
        "prompt": prompt,
        "images": images,
        "width": _positive(arguments, "width", 1024),
        "height": _positive(arguments, "height", 1024),
        "steps": _positive(arguments, "steps", 0 if cuts_files(program.version) else 9),
        "options": {"seed": arguments.number("seed", 0)},
        "keep_alive": keep_alive,
    }
    progress = Progress()
    progress.add(Spinner(""))
    bar = None
    image = ""
    try:
        for said in stream("/api/generate", request):
            if said.get("total"):
                if bar is None:
                    bar = StepBar(said["total"])
                    progress.add(bar)
                bar.done = said.get("completed", 0)
                progress.render()
            if said.get("done"):
                image = said.get("image", "")
    finally:
        progress.clear()
    if image:
        _save(program, prompt, base64.b64decode(image))


def _positive(arguments: Arguments, flag: str, default: int) -> int:
    """What is not is silently the default. It goes out as an int32."""
    number = arguments.number(flag, default)
    return (number + 2**31) % 2**32 - 2**31 if number > 0 else default


def _save(program: Program, prompt: str, data: bytes) -> None:
    name = saved_as(prompt)
    if program.state.take({"directory-gone"}, prompt):
        shutil.rmtree(os.getcwd())  # noqa: PTH109  it is about to go
    full = program.state.take({"disk-full"}, prompt)
    try:
        Path(name).write_bytes(b"" if full else data)
    except OSError as error:
        raise FailedError(f"failed to save image: open {name}: {str(error.strerror).lower()}") from None
    if full:
        raise FailedError(f"failed to save image: write {name}: no space left on device")
    if program.state.take({"two-files"}, prompt):
        Path(f"second-{name}").write_bytes(data)
    sys.stdout.write(inline_image(data))
    print(f"Image saved to: {name}")


def _misbehave(program: Program, kind: str) -> None:
    if kind == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    program.state.log("children", pid=child.pid, parent=os.getpid())
