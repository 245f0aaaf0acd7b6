"""One image's call of `ollama run`, in a folder of its own that is named after the attempt.

The call outlives a run that is killed. The next run has the same attempt, and so finds the call, or what it made: no
image is drawn twice.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import time
from pathlib import Path

import psutil

from imagegen.backends.base import GenerationError, Progress
from imagegen.backends.ollama import failures
from imagegen.backends.ollama.command import Call, Command, Said
from imagegen.backends.ollama.verdict import Machine
from imagegen.errors import ImagegenError
from imagegen.plan.request import Request

__all__ = ["draw", "forget_old"]

_FOLDER = Path(".imagegen/ollama/calls")
_KEEP_ALIVE = "10m"
"""How long the model stays loaded after an image: longer than from one image to the next."""
_OLD_S = 7 * 24 * 3600
_STEPS = re.compile(r"Generating[^▕]*▕[^▏]*▏\s*(\d+)/(\d+)")
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


def draw(
    command: Command, machine: Machine | None, request: Request, root: Path, progress: Progress, *, loads: bool = False
) -> bytes:
    """The bytes of the PNG that Ollama makes of the request. Raises GenerationError, and what `progress` raises.

    loads: whether it is likely to load the model first.
    """
    folder = root / _FOLDER / progress.attempt
    images, log = folder / "image", folder / "log"
    try:
        call = _left_behind(folder)
        if call is None and (made := _whole(images)):
            return made
        if call is None:
            shutil.rmtree(folder, ignore_errors=True)
            images.mkdir(parents=True)
            call = command.call(*words(request), folder=images, log=log)
            _note(folder, call)
        else:
            progress.event("note", text=f"{request.name}: Ollama still draws what a run that ended asked for")
        if loads:
            progress.event("waiting", text="loading the model")
        said = call.wait(progress.check, lambda text: _tell(text, progress))
        return _image(images, said, request, machine)
    except ImagegenError as error:
        raise GenerationError(error.problems[0].what, error.problems[0].mend) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def words(request: Request) -> list[str]:
    """The command line's words. What the job leaves open is left to the model, but for the size, which is checked."""
    steps = ["--steps", str(request.steps)] if "steps" in request.given else []
    size = ["--width", str(request.width), "--height", str(request.height)]
    seed = ["--seed", str(request.seed)]
    return ["run", *size, *steps, *seed, "--keepalive", _KEEP_ALIVE, "--", request.model, request.prompt]


def forget_old(root: Path) -> None:
    """Remove what calls left behind long ago, for images that nobody asked for since."""
    with contextlib.suppress(OSError):
        for folder in (root / _FOLDER).iterdir():
            if time.time() - folder.stat().st_mtime > _OLD_S and _left_behind(folder) is None:
                shutil.rmtree(folder, ignore_errors=True)


def _image(images: Path, said: Said, request: Request, machine: Machine | None) -> bytes:
    files = sorted(images.iterdir()) if images.is_dir() else []
    if failure := failures.of_call(said, request, machine) or failures.of_files(len(files), said):
        raise failure
    data = files[0].read_bytes()
    if not data.startswith(_PNG) or not data.endswith(_PNG_END):
        raise GenerationError("what Ollama wrote is no whole PNG", "free disk space where it is short; run doit again")
    return data


def _tell(text: str, progress: Progress) -> None:
    if found := _STEPS.findall(text):
        done, total = found[-1]
        progress.event("steps", done=int(done), total=int(total))


def _note(folder: Path, call: Call) -> None:
    with contextlib.suppress(psutil.Error, OSError):
        started = psutil.Process(call.pid).create_time()
        (folder / "call.json").write_text(json.dumps({"pid": call.pid, "started": started}), encoding="utf-8")


def _left_behind(folder: Path) -> Call | None:
    """The call of an earlier run that is still alive; not another process that has its number by now."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, psutil.Error):
        noted = json.loads((folder / "call.json").read_bytes())
        process = psutil.Process(int(noted["pid"]))
        if abs(process.create_time() - float(noted["started"])) < 2 and process.status() != psutil.STATUS_ZOMBIE:
            return Call(process.pid, folder / "log")
    return None


def _whole(images: Path) -> bytes | None:
    """The image that a call finished after its run had ended."""
    with contextlib.suppress(OSError, ValueError):
        (file,) = images.iterdir()
        data = file.read_bytes()
        return data if data.startswith(_PNG) and data.endswith(_PNG_END) else None
    return None
