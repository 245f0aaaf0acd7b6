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
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from imagegen.backends.base import GenerationError, Progress
from imagegen.backends.managed_server import ProcessIdentity
from imagegen.backends.ollama.cli import Call, CallResult, Command
from imagegen.backends.ollama.compatibility import FALLBACK, Machine, hint
from imagegen.backends.text import one_line, size_text
from imagegen.errors import ImagegenError
from imagegen.plan.request import Request

__all__ = [
    "OllamaError",
    "call_folder",
    "delete_old_calls",
    "draw",
    "explain_file_count",
    "explain_result",
    "forget",
]


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


def call_folder(root: Path, attempt: str) -> Path:
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


def delete_old_calls(root: Path) -> None:
    """Remove what calls left behind long ago, for images that nobody asked for since."""
    with contextlib.suppress(OSError):
        for folder in (root / _FOLDER).iterdir():
            if time.time() - folder.stat().st_mtime > _OLD_S and _left_behind(folder) is None:
                forget(folder)


def _image(images: Path, said: CallResult, request: Request, machine: Machine | None) -> bytes:
    files = sorted(images.iterdir()) if images.is_dir() else []
    if failure := explain_result(said, request, machine) or explain_file_count(len(files), said):
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
        identity = ProcessIdentity(int(noted["pid"]), float(noted["started"]))
        if identity.is_alive:
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
    return Call(ProcessIdentity(first.pid, first.create_time()), folder / "log") if first else None


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


_LONGEST = 600
"""Characters of a message."""
_BYTES = 6_000_000
"""About the largest PNG that Ollama's client takes."""
_SMALLER = "close other programs, make the image smaller, or take a smaller model, such as x/flux2-klein"
_LOG = "see Ollama's own log (~/.ollama/logs/server.log on a Mac), then run doit again"


class OllamaError(GenerationError):
    """lasts: it would be the same for every other image of this run."""

    def __init__(self, what: str, hint: str, *, lasts: bool = False) -> None:
        super().__init__(what, hint)
        self.lasts = lasts


@dataclass(frozen=True)
class _Sign:
    """What Ollama says (a regular expression), and what that comes to; what, hint: get the match and the request."""

    pattern: str
    what: Callable[[re.Match[str], Request], str]
    hint: Callable[[Request, Machine | None], str]
    lasts: bool = False


def explain_result(said: CallResult, request: Request, machine: Machine | None) -> OllamaError | None:
    """What a call that has ended failed of; None where it did not. machine: the server's, None where it is another."""
    if said.code in (0, None) and not said.error:
        return None
    for sign in _SIGNS:
        if match := re.search(sign.pattern, said.err):
            what = one_line(sign.what(match, request), _LONGEST)
            return OllamaError(what, sign.hint(request, machine), lasts=sign.lasts)
    if said.error:
        return OllamaError(f"Ollama says: {said.error}", _LOG)
    if said.code is not None and said.code < 0:
        return OllamaError(f"'ollama run' was ended by signal {-said.code}", "run doit again")
    last = one_line(said.err[-200:])
    return OllamaError(f"'ollama run' ended with exit code {said.code}" + (f": {last}" if last else ""), _LOG)


def explain_file_count(count: int, said: CallResult) -> OllamaError | None:
    """What is wrong with the number of files that a call left though it says that all is well."""
    if count == 1:
        return None
    if count:
        return OllamaError(f"Ollama wrote {count} files in place of one", _LOG)
    answered = one_line(said.out, 60)
    if "▕" not in said.out and re.search(r"\w", answered):  # neither a bar nor what turns before there is one
        what = f"Ollama wrote no image but an answer, '{answered}': is the model one that makes images?"
        return OllamaError(what, "name one that does: ollama.model: x/z-image-turbo")
    return OllamaError(
        "Ollama finished without an image and without a reason",
        f"{_LOG}; where it stays so, try other steps, or another size",
    )


def _size_to_use(request: Request) -> str:
    """The largest of the same shape that surely fits: a PNG takes at most three bytes a pixel."""
    scale = min(1.0, (_BYTES / 3 / (request.width * request.height)) ** 0.5)
    width, height = (max(16, int(value * scale) // 16 * 16) for value in (request.width, request.height))
    return f"make it smaller: {width}×{height} fits"


def _always(text: str) -> Callable[[Request, Machine | None], str]:
    return lambda _request, _machine: text


def _way_out(_request: Request, machine: Machine | None) -> str:
    return hint(machine)


def _said(text: str) -> Callable[[re.Match[str], Request], str]:
    return lambda match, _request: text.format(*(group or "?" for group in match.groups()))


_CUT = r"(?:EOF|[^\n]*(?:refused|reset by peer|forcibly closed))"
_SIGNS = (
    _Sign(
        r"model requires ([\d.]+ \w+) but only ([\d.]+ \w+) are available(?: \(after ([\d.]+ \w+) overhead\))?",
        _said("out of memory: the model needs {0}, and {1} are free"),
        _always(_SMALLER),
    ),
    _Sign(
        r"insufficient memory for image generation: need ([\d.]+ \w+), have ([\d.]+ \w+)",
        _said("out of memory: the image needs {0}, and {1} are free"),
        _always(_SMALLER),
    ),
    _Sign(
        r"token too long",
        lambda _match, request: (
            f"the image, {request.width}×{request.height}, is larger than Ollama can hand over (about 6 MB)"
        ),
        lambda request, _machine: _size_to_use(request),
    ),
    _Sign(
        r"image generation models are not currently supported|unknown flag: --\w+",
        _said("this version of Ollama makes no images"),
        _way_out,
        lasts=True,
    ),
    _Sign(
        r"requires Apple Silicon[^:\n]*|image generation is not supported on (\w+)",
        _said("the machine on which Ollama serves makes no images: on a Mac it takes Apple silicon"),
        _always(FALLBACK),
        lasts=True,
    ),
    _Sign(
        r"failed to initialize MLX: ([^\n]*)|libmlxc\S* not found|MLX runner not available|MLX GPU init failed: [^\n]*",
        _said("Ollama cannot load its MLX libraries, which it draws with"),
        _always(f"on a Mac, install Ollama again; elsewhere unpack its release's MLX archive beside it, or {FALLBACK}"),
        lasts=True,
    ),
    _Sign(
        rf"/completion\": {_CUT}",  # where its runner serves
        _said("the process that draws for Ollama broke off"),
        _always(f"{_SMALLER}; {_LOG}"),
    ),
    _Sign(
        r"could not connect to (?:a running|ollama)|Error: unexpected EOF\s*$"
        rf"|/api/\w+\": {_CUT}",
        _said("Ollama does not answer any more"),
        _always("start it again: open the Ollama app, or 'ollama serve'; then run doit again"),
        lasts=True,
    ),
    _Sign(
        r"Client\.Timeout or context cancellation",
        _said("Ollama gives one image 10 minutes, and this one takes longer"),
        _always("make it smaller, or give it fewer steps"),
    ),
    _Sign(
        r"failed to save image: [^\n]*no space left on device",
        _said("Ollama could not write the image: no space left on device"),
        _always("free disk space; then run doit again"),
        lasts=True,
    ),
    _Sign(
        r"failed to save image: ([^\n]*)",
        _said("Ollama could not write the image: {0}"),
        _always("let the folder .imagegen stay while it draws, and fix what is wrong with it; then run doit again"),
    ),
    _Sign(
        r"width and height must be <= (\d+)",
        _said("Ollama takes at most {0} pixels a side"),
        _always("make it smaller"),
    ),
    _Sign(
        r"server busy",
        _said("Ollama is busy with what others ask of it"),
        _always("run doit again later"),
    ),
    _Sign(
        r"model '([^']+)' not found|pull model manifest: file does not exist",
        _said("Ollama knows no such model"),
        _always("correct ollama.model; see https://ollama.com/search"),
    ),
)
"""The first that is found counts."""
