"""Which Ollama generates images, and which requests it takes as they are. Asks nobody.

Source of the facts: image generation came with 0.14.3 and was taken out, "temporarily", after 0.32.5. It may come back,
so a newer client is asked for its flags, and not judged by its number. What a request may have is as in 0.32.5.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from imagegen.backends.machine import Machine
from imagegen.backends.ollama.cli import Versions
from imagegen.backends.ollama.models import canonical_name
from imagegen.config.settings import Settings
from imagegen.errors import Problem
from imagegen.plan.request import Request

__all__ = [
    "FALLBACK",
    "PINNED",
    "check_compatibility",
    "check_requests",
    "explain_not_installed",
    "explain_not_running",
    "has_images",
    "has_mlx_libraries",
    "suggest_upgrade",
]

PINNED = Settings().ollama_version
FALLBACK = "use another backend: backend: comfyui"
_FIRST = (0, 14, 3)
_LAST = (0, 32, 5)
_BROKEN = {
    ((0, 16, 0), (0, 16, 1)): "ollama/ollama#14234",
    ((0, 23, 1), (0, 23, 2)): "ollama/ollama#16096",
}
"""The first and the last version of each range whose images are broken, and where it was reported."""
_STEP, _MOST = 16, 4096
_FLUX2_PIXELS = 2048 * 2048
_MAX_SEED = 2**53
"""The server reads it as a floating-point number."""
_MAX_BYTES = 128 * 1024 - 1
"""Of one argument on a command line: Linux takes no more, macOS more, and Windows less."""
_FILE = re.compile(r"(?:[a-zA-Z]:)?(?:\./|/|\\)[^\t\n\f\r]+?\.(?:jpg|jpeg|png|webp)\b", re.ASCII | re.IGNORECASE)
"""What is taken for a file: from a slash anywhere, over blanks, to the first such ending."""


def suggest_upgrade(machine: Machine | None) -> str:
    """Return the way to an Ollama that generates images. machine: None if the server is on another one."""
    if machine is None:
        return f"have the server run Ollama {PINNED}, or {FALLBACK}"
    if machine.is_apple_silicon:
        return f"doit ollama:setup puts Ollama {PINNED} into tools/ollama; or {FALLBACK}"
    return f"install Ollama {PINNED} (its install.sh takes OLLAMA_VERSION={PINNED}), or {FALLBACK}"


def explain_not_installed(machine: Machine) -> Problem:
    """Return the problem that there is no Ollama at all."""
    what = "Ollama is not installed: there is no ollama on PATH"
    return _check_machine(machine) or Problem("", what, suggest_upgrade(machine))


def explain_not_running(host: str, machine: Machine | None) -> Problem:
    """Return the problem that no server answers, and that this project has none of its own to start."""
    if machine is None:
        return Problem("", f"no Ollama answers at {host}", "start it there, or correct OLLAMA_HOST")
    hint = "start it: open the Ollama app, or 'ollama serve' in another terminal"
    return Problem("", f"Ollama is installed but does not run: nothing answers at {host}", hint)


def check_compatibility(
    found: Versions, has_flags: bool, machine: Machine | None, has_libraries: bool
) -> Problem | None:
    """Return what keeps this client and server from generating images; None if nothing is known to.

    Args:
        found: the versions of both.
        has_flags: whether the client's `run` has the flags for images.
        machine: the server's; None if that is not this one.
        has_libraries: whether the libraries that it generates with are there, as far as one can see.
    """
    if problem := (machine and _check_machine(machine)):
        return problem
    client, server = _numbers(found.client), _numbers(found.server)
    # a client with the flags vouches for itself, and for servers of its days
    client_is_out = _is_out(client) and not has_flags
    server_is_out = _is_out(server) and not (has_flags and min(client, server) > _LAST)
    hint = suggest_upgrade(machine) if machine or server_is_out else f"install Ollama {PINNED} here, or {FALLBACK}"
    if client != server and (client_is_out or server_is_out):
        which = "server" if server_is_out else "client"
        age = _age(server if which == "server" else client)
        what = (
            f"Ollama's client is {found.client} and its server {found.server}: the {which} is {age} to generate images"
        )
        return Problem("", what, hint)
    if not has_flags:
        age = _age(client) if _is_out(client) else "a version without image flags, and unable"
        what = f"Ollama {found.client} is {age} to generate images: {_history(client)}"
        return Problem("", what, hint)
    for number, who in ((server, f"Ollama {found.server}"), (client, f"Ollama's client {found.client}")):
        for (first, last), report in _BROKEN.items():
            if number and first <= number <= last:
                return Problem("", f"{who} generates broken images, or none ({report})", hint)
    if machine and machine.system in ("Linux", "Windows") and not has_libraries:
        what = "this Ollama lacks its MLX libraries, which it generates with and which its installer does not download"
        return Problem("", what, f"unpack the MLX archive of its release beside it (NVIDIA, CUDA 13), or {FALLBACK}")
    return None


def has_images(version: str) -> bool:
    """Return whether this version of Ollama generates images, as far as is known; True for what is not a release."""
    return not _is_out(_numbers(version))


def has_mlx_libraries(executable: Path) -> bool:
    """Return whether the MLX libraries are where this Ollama looks for them; True if one cannot say.

    Source: it looks in lib/ollama beside the folder of its executable, and in folders mlx_… there. An executable
    without such a folder is not a usual installation (a container's, a wrapper), and what it has cannot be seen.
    """
    if os.environ.get("OLLAMA_LIBRARY_PATH"):
        return True
    here = executable.resolve().parent
    folders = [folder for folder in (here.parent / "lib" / "ollama", here / "lib" / "ollama") if folder.is_dir()]
    return not folders or any(
        next(folder.glob(pattern), None) for folder in folders for pattern in ("*mlxc.*", "mlx*/*mlxc.*")
    )


def check_requests(requests: Sequence[Request]) -> list[Problem]:
    """Return what Ollama would change or refuse in these requests, each problem's `where` the request's name."""
    return [
        Problem(request.name, what, hint)
        for request in requests
        for what, hint in (*_check_prompt(request.prompt), *_check_size(request), *_check_seed(request.seed))
    ]


def _check_prompt(prompt: str) -> Iterator[tuple[str, str]]:
    if not prompt.strip():
        yield "the prompt is empty, and Ollama generates no image from it", "write a prompt"
    if found := _FILE.search(prompt):
        shown = found[0] if len(found[0]) <= 60 else f"{found[0][:30]}…{found[0][-29:]}"
        yield (
            f"the prompt has '{shown}': Ollama takes that for an image file, opens it and cuts it out of the prompt",
            "write it without the slash before it, or without the ending",
        )
    if (size := len(prompt.encode("utf-8"))) > _MAX_BYTES:
        yield f"the prompt has {size:,} bytes, and a command line takes {_MAX_BYTES:,}", "make it shorter"


def _check_size(request: Request) -> Iterator[tuple[str, str]]:
    for word, value in (("width", request.width), ("height", request.height)):
        if value > _MOST:
            yield f"{word} {value} is more than Ollama takes", f"make it at most {_MOST}"
        elif value % _STEP:
            below, above = value // _STEP * _STEP, (value // _STEP + 1) * _STEP
            what = f"{word} {value} is not a multiple of {_STEP}, and the model would change it"
            yield what, f"use {below} or {above}"
    if "flux2" in canonical_name(request.model) and request.width * request.height > _FLUX2_PIXELS:
        what = f"{request.width}×{request.height} is more than the 2048×2048 pixels of {request.model}"
        yield f"{what}, which would shrink it", "make it smaller"


def _check_seed(seed: int | None) -> Iterator[tuple[str, str]]:
    if seed is not None and not 1 <= seed <= _MAX_SEED:
        why = "means a random one, which Ollama never reports" if seed < 1 else "is more than Ollama can tell apart"
        yield f"seed {seed} {why}", "give one from 1 to 2^53 (9,007,199,254,740,992)"


def _check_machine(machine: Machine) -> Problem | None:
    """Return the problem that no Ollama generates images on such a machine."""
    if machine.system == "Darwin" and not machine.is_apple_silicon:
        what = "Ollama generates images on a Mac with Apple silicon only, and this one has an Intel processor"
        return Problem("", what, FALLBACK)
    if machine.system not in ("Darwin", "Linux", "Windows"):
        return Problem("", f"Ollama does not generate images on {machine.system}", FALLBACK)
    return None


def _numbers(version: str) -> tuple[int, ...]:
    """Return what to compare by; empty for what is not a release, such as one that somebody built."""
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    found = tuple(map(int, match.groups())) if match else ()
    return found if any(found) else ()


def _is_out(number: tuple[int, ...]) -> bool:
    return bool(number) and not _FIRST <= number <= _LAST


def _age(number: tuple[int, ...]) -> str:
    return "too new" if number > _LAST else "too old"


def _history(number: tuple[int, ...]) -> str:
    if number > _LAST:
        return "that was taken out after 0.32.5"
    return "that came with 0.14.3" if number < _FIRST else "its 'run' has no --width"
