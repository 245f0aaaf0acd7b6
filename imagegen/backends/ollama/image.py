"""One image's call of `ollama run`: in a folder named after the attempt; what it left, and what went wrong with it.

The call outlives a run that is killed. The next run has the same attempt, and so finds the call, or what it generated:
no image is generated twice. Source of the facts: Ollama 0.32.5, and what its users report.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from imagegen.backends.base import GenerationError, Progress
from imagegen.backends.machine import Machine
from imagegen.backends.managed_server import ProcessIdentity
from imagegen.backends.ollama.cli import Call, CallResult, Command
from imagegen.backends.ollama.compatibility import FALLBACK, suggest_upgrade
from imagegen.backends.text import one_line, size_text
from imagegen.errors import ImagegenError
from imagegen.plan.request import Request

__all__ = [
    "OllamaError",
    "call_folder",
    "delete_call",
    "delete_old_calls",
    "explain_file_count",
    "explain_result",
    "generate",
]

_FOLDER = Path(".imagegen/ollama/calls")
_KEEP_ALIVE = "10m"
"""How long the model stays loaded after an image: longer than from one image to the next."""
_OLD_S = 7 * 24 * 3600
_STEPS = re.compile(r"Generating[^▕]*▕[^▏]*▏\s*(\d+)/(\d+)")
_MOST = 256 * 1024**2
"""Bytes of an image; those that Ollama can hand over have 6 MB."""
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_LONGEST = 600
"""Characters of a message."""
_LARGEST_PNG = 6_000_000
"""Bytes of the largest PNG that Ollama's client takes, approximately."""


def generate(
    command: Command,
    machine: Machine | None,
    request: Request,
    folder: Path,
    progress: Progress,
    *,
    loads: bool = False,
) -> bytes:
    """Have Ollama generate the image; return the bytes of the PNG. Raises GenerationError, and what `progress` does.

    Args:
        machine: the server's; None if that is another one.
        folder: the attempt's. It is left with the image in it, and is deleted if there is none.
        loads: whether Ollama is likely to load the model first.
    """
    images = folder / "image"
    try:
        call = _find_running_call(folder)
        is_new = call is None
        if call is None:
            if image := _find_image(images):
                return image
            delete_call(folder)
            images.mkdir(parents=True)
            call = command.start(*command_words(request), folder=images, log=folder / "log")
        with call:
            if is_new:
                (folder / "call.json").write_text(json.dumps(asdict(call.identity)), encoding="utf-8")
            else:
                text = f"{request.name}: Ollama is still generating what an earlier run asked for"
                progress.event("note", text=text)
            if loads:
                progress.event("waiting", text="loading the model")
            result = call.wait(progress.check, lambda text: _report_steps(text, progress))
        return _read_image(images, result, request, machine)
    except BaseException as error:
        delete_call(folder)
        if isinstance(error, ImagegenError):
            raise GenerationError(error.problems[0].what, error.problems[0].hint) from None
        raise


def command_words(request: Request) -> list[str]:
    """Return the words of the command line. What the job leaves open is left to the model, but for the size."""
    steps = ["--steps", str(request.steps)] if "steps" in request.given else []
    size = ["--width", str(request.width), "--height", str(request.height)]
    seed = ["--seed", str(request.seed)]
    return ["run", *size, *steps, *seed, "--keepalive", _KEEP_ALIVE, "--", request.model, request.prompt]


def call_folder(root: Path, attempt: str) -> Path:
    """Return the folder in which an attempt's call runs, and where its image is until it is in the store."""
    return root / _FOLDER / attempt


def delete_call(folder: Path) -> None:
    """Delete what an attempt left."""
    shutil.rmtree(folder, ignore_errors=True)


def delete_old_calls(root: Path) -> None:
    """Delete what calls left behind long ago, for images that nobody has asked for since."""
    with contextlib.suppress(OSError):
        for folder in (root / _FOLDER).iterdir():
            if time.time() - folder.stat().st_mtime > _OLD_S and _find_running_call(folder) is None:
                delete_call(folder)


def _report_steps(text: str, progress: Progress) -> None:
    if found := _STEPS.findall(text):
        done, total = found[-1]
        progress.event("steps", done=int(done), total=int(total))


def _find_running_call(folder: Path) -> Call | None:
    """Return the call of an earlier run that still runs; not another process that has been given its number."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, OverflowError):
        noted = json.loads((folder / "call.json").read_bytes())
        identity = ProcessIdentity(int(noted["pid"]), float(noted["started"]))
        if identity.is_alive:
            return Call(identity, folder / "log")
    return _find_unnoted_call(folder)


def _find_unnoted_call(folder: Path) -> Call | None:
    """Return the call of a run that was killed before it noted it: the first process that works in its folder."""
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


def _find_image(images: Path) -> bytes | None:
    """Return the image that a call finished after its run had ended."""
    with contextlib.suppress(OSError, ValueError):
        (file,) = images.iterdir()
        if file.stat().st_size > _MOST:
            return None
        data = file.read_bytes()
        return data if _is_complete(data) else None
    return None


def _read_image(images: Path, result: CallResult, request: Request, machine: Machine | None) -> bytes:
    files = sorted(images.iterdir()) if images.is_dir() else []
    if error := explain_result(result, request, machine) or explain_file_count(len(files), result):
        raise error
    if (size := files[0].stat().st_size) > _MOST:
        raise GenerationError(f"Ollama wrote a file of {size_text(size)}, too large for an image", "run doit again")
    data = files[0].read_bytes()
    if not _is_complete(data):
        raise GenerationError(
            "what Ollama wrote is not a complete PNG", "free disk space if it is short; run doit again"
        )
    return data


def _is_complete(data: bytes) -> bool:
    return data.startswith(_PNG) and data.endswith(_PNG_END)


class OllamaError(GenerationError):
    """What went wrong with an image. is_permanent: every other image of this run would fail too."""

    def __init__(self, what: str, hint: str, *, is_permanent: bool = False) -> None:
        super().__init__(what, hint)
        self.is_permanent = is_permanent


@dataclass(frozen=True)
class _Sign:
    """What Ollama says, and what that means."""

    pattern: str
    """A regular expression."""
    what: str
    """{0} and so on are its groups, {pixels} is the image's size."""
    hint: str
    """{upgrade} is the way to an Ollama that can, {smaller} a size that fits."""
    is_permanent: bool = False


def explain_result(result: CallResult, request: Request, machine: Machine | None) -> OllamaError | None:
    """Return why a call that has ended failed; None if it did not. machine: the server's, None if it is another."""
    if result.code in (0, None) and not result.error:
        return None
    for sign in _SIGNS:
        if match := re.search(sign.pattern, result.err):
            groups = [group or "?" for group in match.groups()]
            what = sign.what.format(*groups, pixels=f"{request.width}×{request.height}")
            hint = sign.hint.format(upgrade=suggest_upgrade(machine), smaller=_size_that_fits(request))
            return OllamaError(one_line(what, _LONGEST), hint, is_permanent=sign.is_permanent)
    if result.error:
        return OllamaError(f"Ollama says: {result.error}", _LOG)
    if result.code is not None and result.code < 0:
        return OllamaError(f"'ollama run' was ended by signal {-result.code}", "run doit again")
    last = one_line(result.err[-200:])
    return OllamaError(f"'ollama run' ended with exit code {result.code}" + (f": {last}" if last else ""), _LOG)


def explain_file_count(count: int, result: CallResult) -> OllamaError | None:
    """Return what is wrong with the number of files that a call left though it reports success."""
    if count == 1:
        return None
    if count:
        return OllamaError(f"Ollama wrote {count} files instead of one", _LOG)
    answered = one_line(result.out, 60)
    if "▕" not in result.out and re.search(r"\w", answered):  # neither a bar nor what turns before there is one
        what = f"Ollama wrote no image but an answer, '{answered}': does the model generate images?"
        return OllamaError(what, "name one that does: ollama.model: x/z-image-turbo")
    return OllamaError(
        "Ollama finished without an image and without a reason",
        f"{_LOG}; if it keeps happening, try other steps, or another size",
    )


def _size_that_fits(request: Request) -> str:
    """Return the largest size of the same shape that surely fits: a PNG takes at most three bytes a pixel."""
    scale = min(1.0, (_LARGEST_PNG / 3 / (request.width * request.height)) ** 0.5)
    width, height = (max(16, int(value * scale) // 16 * 16) for value in (request.width, request.height))
    return f"{width}×{height}"


_SMALLER = "close other programs, make the image smaller, or take a smaller model, such as x/flux2-klein"
_LOG = "see Ollama's own log (~/.ollama/logs/server.log on a Mac), then run doit again"
_BROKEN_OFF = r"(?:EOF|[^\n]*(?:refused|reset by peer|forcibly closed))"
_SIGNS = (
    _Sign(
        r"model requires ([\d.]+ \w+) but only ([\d.]+ \w+) are available(?: \(after ([\d.]+ \w+) overhead\))?",
        "out of memory: the model needs {0}, and {1} are free",
        _SMALLER,
    ),
    _Sign(
        r"insufficient memory for image generation: need ([\d.]+ \w+), have ([\d.]+ \w+)",
        "out of memory: the image needs {0}, and {1} are free",
        _SMALLER,
    ),
    _Sign(
        r"token too long",
        "the image, {pixels}, is larger than Ollama can hand over (about 6 MB)",
        "make it smaller: {smaller} fits",
    ),
    _Sign(
        r"image generation models are not currently supported|unknown flag: --\w+",
        "this version of Ollama does not generate images",
        "{upgrade}",
        is_permanent=True,
    ),
    _Sign(
        r"requires Apple Silicon[^:\n]*|image generation is not supported on (\w+)",
        "the machine that Ollama serves on does not generate images: on a Mac it takes Apple silicon",
        FALLBACK,
        is_permanent=True,
    ),
    _Sign(
        r"failed to initialize MLX: ([^\n]*)|libmlxc\S* not found|MLX runner not available|MLX GPU init failed: [^\n]*",
        "Ollama cannot load its MLX libraries, which it generates with",
        f"on a Mac, install Ollama again; elsewhere unpack its release's MLX archive beside it, or {FALLBACK}",
        is_permanent=True,
    ),
    _Sign(
        rf"/completion\": {_BROKEN_OFF}",  # where its runner serves
        "the process that generates for Ollama crashed",
        f"{_SMALLER}; {_LOG}",
    ),
    _Sign(
        r"could not connect to (?:a running|ollama)|Error: unexpected EOF\s*$" rf"|/api/\w+\": {_BROKEN_OFF}",
        "Ollama does not answer any more",
        "start it again: open the Ollama app, or 'ollama serve'; then run doit again",
        is_permanent=True,
    ),
    _Sign(
        r"Client\.Timeout or context cancellation",
        "Ollama gives one image 10 minutes, and this one takes longer",
        "make it smaller, or give it fewer steps",
    ),
    _Sign(
        r"failed to save image: [^\n]*no space left on device",
        "Ollama could not write the image: no space left on device",
        "free disk space; then run doit again",
        is_permanent=True,
    ),
    _Sign(
        r"failed to save image: ([^\n]*)",
        "Ollama could not write the image: {0}",
        "leave the folder .imagegen alone during a run, and fix what is wrong with it; then run doit again",
    ),
    _Sign(r"width and height must be <= (\d+)", "Ollama takes at most {0} pixels a side", "make it smaller"),
    _Sign(r"server busy", "Ollama is busy with other requests", "run doit again later"),
    _Sign(
        r"model '([^']+)' not found|pull model manifest: file does not exist",
        "Ollama knows no such model",
        "correct ollama.model; see https://ollama.com/search",
    ),
)
"""The first that is found counts."""
