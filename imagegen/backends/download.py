"""One file onto this disk: resumed, bounded, checked against its sha256, and named only when it is whole."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from imagegen.backends.locked import locked
from imagegen.backends.part import Part, part_of
from imagegen.backends.remote import Remote
from imagegen.backends.source import Cut, Source
from imagegen.backends.text import size_text
from imagegen.errors import ImagegenError, Problem, not_written

__all__ = ["download"]

_PAUSES_S = (0.5, 1.0, 3.0)
"""Before it is tried again after nothing new came; after the last of them it is given up."""
_PROGRESS = 1024**2
"""Bytes that must be new for a try to count as none that failed."""


def download(
    remote: Remote,
    path: Path,
    tell: Callable[[int, int], None] = lambda _done, _total: None,
    note: Callable[[str], None] = lambda _text: None,
) -> None:
    """Have the file at `path`, where nothing may be.

    tell: gets the bytes that there are and those that there will be (about; 0 where nobody says), often, and before any
    come. note: gets a line now and then. Either may raise.
    Raises ImagegenError. Then, and after Ctrl-C, what came stays beside it as `.part` and the next call goes on from
    there, unless it cannot be a part of this file.
    """
    with (
        _disk_errors(path.parent),
        locked(path.parent / ".imagegen.lock", _busy(path.parent)),
        Part(part_of(path), remote) as part,
        contextlib.closing(Source(remote)) as source,
    ):
        if path.exists():
            raise ImagegenError(Problem(remote.key, f"{path} is there by now", "run it again"))
        is_resumed = part.size > 0
        if part.sha256 != remote.sha256:
            _fill(part, source, tell, note)
        if part.sha256 != remote.sha256 and is_resumed:
            note(f"{remote.key}: what was there of it is not of this file; it is downloaded from the start")
            part.restart()
            _fill(part, source, tell, note)
        if part.sha256 != remote.sha256:
            found = part.sha256
            part.restart()
            what = f"what came has sha256 {found}, and {remote.sha256} is expected; it is not kept"
            raise ImagegenError(Problem(remote.key, what, remote.if_other))
        part.finish(path)


def _fill(part: Part, source: Source, tell: Callable[[int, int], None], note: Callable[[str], None]) -> None:
    """Get the bytes that are lacking, in as many tries as get on."""
    failed, furthest = 0, part.size
    while True:
        try:
            source.read(part, tell, note)
            return
        except Cut as cut:
            failed = 0 if part.size >= furthest + _PROGRESS else failed + 1
            furthest = max(furthest, part.size)
            if failed > len(_PAUSES_S):
                whole = size_text(source.total) if source.total else "what nobody says"
                what = f"{source.remote.host}: {cut}; {size_text(part.size)} of {whole} are there"
                hint = "run it again: it goes on from there" if part.size else "check the network, then run it again"
                raise ImagegenError(Problem(source.remote.key, what, hint)) from None
            note(f"{source.remote.key}: {cut}; trying again")
            time.sleep(_PAUSES_S[max(0, failed - 1)])


def _busy(folder: Path) -> Problem:
    """One download into a folder at a time, whichever project it is for."""
    return Problem("", f"another download into {folder} is under way", "wait for it")


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = not_written(error, path=str(folder)).what
        raise ImagegenError(Problem("", what, "fix that, then run it again: what came so far stays")) from None
