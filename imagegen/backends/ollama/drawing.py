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
from dataclasses import asdict
from pathlib import Path

import psutil

from imagegen.backends.base import GenerationError, Progress
from imagegen.backends.ollama import failures
from imagegen.backends.ollama.command import Call, Command, Said
from imagegen.backends.ollama.verdict import Machine
from imagegen.backends.process import Identity
from imagegen.backends.text import size_text
from imagegen.errors import ImagegenError
from imagegen.plan.request import Request

__all__ = ["draw", "folder_of", "forget", "forget_old"]

_FOLDER = Path(".imagegen/ollama/calls")
_KEEP_ALIVE = "10m"
"""How long the model stays loaded after an image: longer than from one image to the next."""
_OLD_S = 7 * 24 * 3600
_STEPS = re.compile(r"Generating[^▕]*▕[^▏]*▏\s*(\d+)/(\d+)")
_MOST = 256 * 1024**2
"""Bytes of an image; those that Ollama can hand over have 6 MB."""
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


def draw(
    command: Command,
    machine: Machine | None,
    request: Request,
    folder: Path,
    progress: Progress,
    *,
    loads: bool = False,
) -> bytes:
    """The bytes of the PNG that Ollama makes of the request. Raises GenerationError, and what `progress` raises.

    folder: that of the attempt. It is left with the image in it, and goes where there is none. loads: whether it is
    likely to load the model first.
    """
    images, log = folder / "image", folder / "log"
    try:
        call = _left_behind(folder)
        if call is None and (made := _whole(images)):
            return made
        if call is None:
            forget(folder)
            images.mkdir(parents=True)
            call = command.call(*words(request), folder=images, log=log)
        with call:
            if call.process:
                _note(folder, call)
            else:
                progress.event("note", text=f"{request.name}: Ollama still draws what a run that ended asked for")
            if loads:
                progress.event("waiting", text="loading the model")
            said = call.wait(progress.check, lambda text: _tell(text, progress))
        return _image(images, said, request, machine)
    except BaseException as error:
        forget(folder)
        if isinstance(error, ImagegenError):
            raise GenerationError(error.problems[0].what, error.problems[0].hint) from None
        raise


def folder_of(root: Path, attempt: str) -> Path:
    """Where an attempt's call runs, and its image lies until it is in the store."""
    return root / _FOLDER / attempt


def forget(folder: Path) -> None:
    """Remove what an attempt left."""
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
                forget(folder)


def _image(images: Path, said: Said, request: Request, machine: Machine | None) -> bytes:
    files = sorted(images.iterdir()) if images.is_dir() else []
    if failure := failures.of_call(said, request, machine) or failures.of_files(len(files), said):
        raise failure
    if (size := files[0].stat().st_size) > _MOST:
        raise GenerationError(f"what Ollama wrote has {size_text(size)}, and no image has", "run doit again")
    data = files[0].read_bytes()
    if not _is_whole(data):
        raise GenerationError("what Ollama wrote is no whole PNG", "free disk space where it is short; run doit again")
    return data


def _tell(text: str, progress: Progress) -> None:
    if found := _STEPS.findall(text):
        done, total = found[-1]
        progress.event("steps", done=int(done), total=int(total))


def _note(folder: Path, call: Call) -> None:
    (folder / "call.json").write_text(json.dumps(asdict(call.identity)), encoding="utf-8")


def _left_behind(folder: Path) -> Call | None:
    """The call of an earlier run that is still alive; not another process that has its number by now."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, OverflowError):
        noted = json.loads((folder / "call.json").read_bytes())
        identity = Identity(int(noted["pid"]), float(noted["started"]))
        if identity.look() == "alive":
            return Call(identity, folder / "log")
    return _unnoted(folder)


def _unnoted(folder: Path) -> Call | None:
    """The call of a run that was killed before it could note it: the first process that works in its folder."""
    images = folder / "image"
    if (folder / "call.json").exists() or not images.is_dir():
        return None
    working = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == images.resolve():
                working.append(process)
    first = min(working, key=lambda process: process.create_time(), default=None)
    return Call(Identity(first.pid, first.create_time()), folder / "log") if first else None


def _whole(images: Path) -> bytes | None:
    """The image that a call finished after its run had ended."""
    with contextlib.suppress(OSError, ValueError):
        (file,) = images.iterdir()
        if file.stat().st_size > _MOST:
            return None
        data = file.read_bytes()
        return data if _is_whole(data) else None
    return None


def _is_whole(data: bytes) -> bool:
    return data.startswith(_PNG) and data.endswith(_PNG_END)
