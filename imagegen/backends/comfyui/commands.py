"""Running git, Python and pip for ComfyUI's set-up: what they say is shown as it comes, and told again if they fail."""

from __future__ import annotations

import codecs
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from imagegen.backends.text import is_terminal
from imagegen.config.settings import SETTINGS
from imagegen.errors import ImagegenError, Problem

__all__ = ["ask", "run"]

_TIMEOUT_S = 60
"""For a question that is answered without a network."""
_KEPT_CHARACTERS, _KEPT_LINES, _LINE = 20_000, 8, 300

_LEFT_OUT = {setting.environment for setting in SETTINGS if setting.secret} | {
    *("PYTHONPATH", "PYTHONHOME", "__PYVENV_LAUNCHER__"),
    # git sets these for its hooks; a set-up that a hook starts would work on that repository
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_NAMESPACE"),
    *("GIT_PREFIX", "GIT_ALTERNATE_OBJECT_DIRECTORIES"),
}
_ADDED = {"GIT_TERMINAL_PROMPT": "0", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def ask(command: Sequence[str], folder: Path) -> str | None:
    """What a program answers (its standard output, stripped); None where it fails or cannot be started."""
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            env=_environment({}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.decode("utf-8", "replace").strip()


def run(
    command: Sequence[str], folder: Path, what: str, hint: str, environment: Mapping[str, str] | None = None
) -> None:
    """Run a program in `folder` to its end and show what it says, as it comes.

    what, hint: what failed and what to do, should it fail. environment: more variables for it.
    Raises ImagegenError, with the last lines that it said, where it fails or cannot be started.
    """
    sys.stdout.flush()
    # on a terminal pip draws its progress bars only where it writes to the terminal itself; its errors go to stderr
    direct = is_terminal()
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=None if direct else subprocess.PIPE,
            stderr=subprocess.PIPE if direct else subprocess.STDOUT,
        )
    except OSError as error:
        raise ImagegenError(Problem("", f"{what}: {command[0]} cannot be started: {error.strerror}", hint)) from None
    try:
        said = _show(process)
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if code != 0:
        ending = f"exit code {code}" if code > 0 else f"ended by signal {-code}"
        lines = "".join(f"\n    | {line}" for line in _last_lines(said))
        raise ImagegenError(Problem("", f"{what} ({ending}):{lines or ' it said nothing'}", hint))


def _show(process: subprocess.Popen[bytes]) -> str:
    stream = process.stdout or process.stderr
    assert stream is not None  # noqa: S101 - run opened it
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    said = ""
    with stream:
        while chunk := os.read(stream.fileno(), 65536):
            text = decoder.decode(chunk)
            sys.stdout.write(text)
            sys.stdout.flush()
            said = (said + text)[-_KEPT_CHARACTERS:]
    return said


def _last_lines(said: str) -> list[str]:
    lines = [line.rpartition("\r")[2].rstrip() for line in re.sub("\x1b\\[[0-9;?]*[A-Za-z]|\r$", "", said).split("\n")]
    return [line if len(line) <= _LINE else f"{line[:_LINE]}…" for line in filter(None, lines)][-_KEPT_LINES:]


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """The variables of this process, without secrets and without what would lead git or Python elsewhere."""
    return {**{name: value for name, value in os.environ.items() if name not in _LEFT_OUT}, **_ADDED, **more}
