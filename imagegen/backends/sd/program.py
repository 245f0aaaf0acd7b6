"""The program `sd-server`: the one in tools/sd or the user's own, and what it says of itself."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagegen.backends.managed_server import environment_without_secrets
from imagegen.backends.text import one_line
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, InputError, NotBegunError, Problem

__all__ = ["FOLDER", "MARK", "Program", "find_program", "inspect_program", "is_set_up", "read_mark"]

FOLDER = Path("tools/sd")
"""Where the program is, from the project's root."""
MARK = ".imagegen.json"
"""In that folder: which build it is; written by sd:setup."""
_NAMES = ("sd-server", "sd-server.exe")
_ASK_S = 30.0


@dataclass(frozen=True)
class Program:
    """A program, and what it says of itself.

    Attributes:
        path: of the file.
        build: its version or commit; empty if it does not say.
        device: what it was built for: cpu, vulkan, metal, rocm or cuda; empty if unknown.
        samplers: the names that it knows; empty if it does not say. The same for the schedulers.
    """

    path: Path
    build: str = ""
    device: str = ""
    samplers: Sequence[str] = ()
    schedulers: Sequence[str] = ()


def is_set_up(root: Path, settings: Settings) -> bool:
    """Return whether there is a program or a server to use. Cheap."""
    return bool(settings.sd_server_url or settings.sd_program or _find_own(root))


def find_program(root: Path, settings: Settings) -> Path:
    """Return the program's file. Raises ImagegenError if there is none."""
    if settings.sd_program:
        path = root / settings.sd_program
        if path.is_file() and os.access(path, os.X_OK):
            return path
        what = "is not there" if not path.exists() else "is not a program"
        hint = "correct program in [tool.imagegen.sd], or remove it and run doit sd:setup"
        raise InputError(Problem("sd.program", f"{path} {what}", hint))
    if own := _find_own(root):
        return own
    what = "stable-diffusion.cpp is not set up here: there is no sd-server in tools/sd"
    raise NotBegunError(Problem("", what, "doit sd:setup"))


def _find_own(root: Path) -> Path | None:
    return next((path for name in _NAMES if (path := root / FOLDER / name).is_file()), None)


def read_mark(root: Path) -> Mapping[str, Any]:
    """Return what sd:setup noted of the build in tools/sd: build, device, asset and sha256; empty if there is none."""
    with suppress(OSError, ValueError):
        found = json.loads((root / FOLDER / MARK).read_bytes())
        return found if isinstance(found, dict) else {}
    return {}


def inspect_program(root: Path, settings: Settings) -> Program:
    """Find the program, and ask it for its build, samplers and schedulers. Raises ImagegenError if it cannot be run."""
    path = find_program(root, settings)
    mark = read_mark(root) if not settings.sd_program else {}
    said = _read_help(path, _suggest_other(settings, mark))
    match = re.search(_VERSION, said)
    named = [word for word in (match.groups() if match else ()) if word and word != "unknown"]
    unknown = f"zip {mark['sha256'][:12]}" if isinstance(mark.get("sha256"), str) else ""
    build = str(mark.get("build") or "") or next(iter(named), unknown)
    return Program(
        path,
        one_line(build, 60),
        str(mark.get("device") or ""),
        _list_values(said, "--sampling-method"),
        _list_values(said, "--scheduler"),
    )


def _suggest_other(settings: Settings, mark: Mapping[str, Any]) -> str:
    """Return how to get another build than the one that cannot be used."""
    if settings.sd_program:
        return "correct program in [tool.imagegen.sd], or remove it and run doit sd:setup"
    again, own = "install it again (doit sd:setup)", "or name a build of your own: program in [tool.imagegen.sd]"
    if (device := mark.get("device")) == "cpu":
        return f"{again}, {own}"
    return f"{again} or another build (doit sd:setup --device={'vulkan' if device == 'rocm' else 'cpu'}), {own}"


def _read_help(path: Path, other: str) -> str:
    """Return what the program says when it is asked for its help.

    Args:
        other: what to do if another build is needed.

    Raises:
        ImagegenError: it cannot be run, or is not sd-server.
    """
    try:
        ran = subprocess.run(
            [str(path), "-h"],
            capture_output=True,
            timeout=_ASK_S,
            check=False,
            env=environment_without_secrets(),
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise ImagegenError(Problem("", f"{path} cannot be used: it does not end within {_ASK_S:g} s", other)) from None
    except OSError as error:
        raise ImagegenError(_explain_os_error(path, error, other)) from None
    said = (ran.stdout + b"\n" + ran.stderr).decode("utf-8", "replace")
    if _LISTENS not in said:
        raise ImagegenError(_explain_exit(path, said, ran.returncode, other))
    return said


def _explain_os_error(path: Path, error: OSError, other: str) -> Problem:
    """Return why the system does not run a program."""
    if error.errno == errno.EACCES:
        return Problem("", f"{path} is not executable", f"chmod +x {path}")
    if error.errno == errno.ENOEXEC or getattr(error, "winerror", 0) in _NOT_FOR_THIS_SYSTEM:
        return Problem("", f"{path} is for another system or processor, or is damaged", other)
    return Problem("", f"{path} cannot be run: {error.strerror or error}", other)


def _explain_exit(path: Path, said: str, code: int, other: str) -> Problem:
    """Return why a program that was asked for its help did not give that of sd-server."""
    if _SAMPLES in said:
        beside = path.with_name(f"sd-server{path.suffix}")
        hint = f"name the sd-server beside it: {beside}" if beside.is_file() else other
        return Problem("", f"{path} is another program of stable-diffusion.cpp, not sd-server", hint)
    for sign, hint in _LOADER_SIGNS.items():
        if sign in said:
            line = next(line for line in said.splitlines() if sign in line)
            return Problem("", f"{path} cannot be used: {one_line(line)}", hint.format(other=other))
    if code & 0xFFFFFFFF in _EXITS:
        what, hint = _EXITS[code & 0xFFFFFFFF]
        return Problem("", f"{path} cannot be used: {what}", hint.format(other=other))
    last = one_line(said.strip().splitlines()[-1]) if said.strip() else f"it says nothing, exit code {code}"
    return Problem("", f"{path} is not sd-server: {last}" if code == 0 else f"{path} cannot be used: {last}", other)


def _list_values(said: str, argument: str) -> tuple[str, ...]:
    """Return the values that the help lists for an argument."""
    match = re.search(rf"(?m)^ *(?:-\w, *)?{re.escape(argument)}\s[^\[]*one\s+of\s+\[([^\]]*)\]", said)
    return tuple(filter(None, re.split(r"[,\s]+", match[1]))) if match else ()


_VERSION = r"version (\S+), commit (\S+)"
_LISTENS, _SAMPLES = "--listen-port", "--sampling-method"
"""What only sd-server's help has, and what that of the other programs has, too."""
_LOADER_SIGNS = {
    "GLIBC": "this system is too old for that build: compile stable-diffusion.cpp, and name its sd-server: "
    "program in [tool.imagegen.sd]",
    "libgomp": "install libgomp1",
    "libvulkan": "install the Vulkan loader (libvulkan1), or {other}",
    "libhip": "install ROCm, or {other}",
    "error while loading shared libraries": "{other}",
}
"""What the system says of a program that it cannot load → what to do."""
_NOT_FOR_THIS_SYSTEM = (193, 216)
"""Windows' errors ERROR_BAD_EXE_FORMAT and ERROR_EXE_MACHINE_TYPE_MISMATCH."""
_TOO_NEW = ("this processor lacks instructions that the build uses", "{other}")
_EXITS: Mapping[int, tuple[str, str]] = {
    -signal.SIGILL & 0xFFFFFFFF: _TOO_NEW,
    0xC000001D: _TOO_NEW,  # STATUS_ILLEGAL_INSTRUCTION
    0xC0000135: (  # STATUS_DLL_NOT_FOUND
        "a DLL that it needs is missing",
        "install the driver of your GPU and the Microsoft Visual C++ runtime, or {other}",
    ),
}
"""Exit codes that say why, and what to do."""
