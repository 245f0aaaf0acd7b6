"""What can be wrong with a shared store: whether it is away, and in what words."""

from __future__ import annotations

import errno
import re

from imagegen.config.settings import Settings, without_user
from imagegen.errors import ImagegenError, Problem
from imagegen.state.shared_store import missing_package

__all__ = ["check_packages", "is_away", "words_of"]

_AWAY = {errno.ENOENT, errno.ENOTCONN, errno.ESTALE, errno.EIO}
"""Of a folder that was mounted, and is no more."""


def check_packages(settings: Settings) -> None:
    """That what the address needs is installed. Raises ImagegenError: to generate what others have would be dear."""
    if missing := missing_package(settings.store):
        package, command = missing
        what = f"store: {settings.store} needs the package {package}, which is not installed"
        hint = f"{command}; or for now without the shared store: doit store=none"
        raise ImagegenError(Problem(settings.sources.get("store", ""), what, hint))


def is_away(error: Exception) -> bool:
    """Whether it cannot be reached; if not, it takes nothing (it is full, or closed to us), and can still be read."""
    if not isinstance(error, OSError) or isinstance(error, (TimeoutError, ConnectionError, FileNotFoundError)):
        return True
    return error.errno in _AWAY


def words_of(error: Exception) -> str:
    """What went wrong with a shared store, in one line, without a user, a password or what was asked of a server."""
    if isinstance(error, OSError) and error.strerror and error.errno:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    first_line = next(iter(str(error).strip().splitlines()), "")
    said = re.sub(r"(://[^\s\"'?]*)\?[^\s\"']*", r"\1", without_user(first_line))[:200]
    is_sentence = " " in said or (isinstance(error, OSError) and said)
    return said if is_sentence else ": ".join(filter(None, [type(error).__name__, said]))
