"""One model file onto this disk: resumed, bounded, checked against its sha256, and named only when it is whole."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock

from imagegen.backends.comfyui.listed import part_of, size_text
from imagegen.backends.comfyui.part import Part
from imagegen.backends.comfyui.source import TOKENS, Cut, HuggingFace, Source
from imagegen.config.models import ModelFile
from imagegen.errors import ImagegenError, Problem

__all__ = ["download"]

_PAUSES_S = (0.5, 1.0, 3.0)
"""Before it is tried again after nothing new came; after the last of them it is given up."""
_PROGRESS = 1024**2
"""Bytes that must be new for a try to count as none that failed."""


def download(
    model: ModelFile,
    path: Path,
    hub: HuggingFace,
    tell: Callable[[int, int], None] = lambda _done, _total: None,
    note: Callable[[str], None] = lambda _text: None,
) -> None:
    """Have the model at `path`, where nothing may be.

    tell: gets the bytes that there are and those that there will be, about, often. note: gets a line now and then.
    Raises ImagegenError. Then, and after Ctrl-C, what came stays beside it as `.part` and the next call goes on from
    there, unless it cannot be a part of this file.
    """
    if not (hub.token.isascii() and hub.token.isprintable() and " " not in hub.token):
        raise ImagegenError(Problem("", "HF_TOKEN holds what is no token", f"copy it again from {TOKENS}"))
    with (
        _disk_errors(path.parent),
        _only_one(path.parent),
        Part(part_of(path), model) as part,
        contextlib.closing(Source(model, hub)) as source,
    ):
        if path.exists():
            raise ImagegenError(Problem(model.key, f"{path} is there by now", "run it again: it looks anew"))
        is_resumed = part.size > 0
        if part.sha256 != model.sha256:
            _fill(part, source, tell, note)
        if part.sha256 != model.sha256 and is_resumed:
            note(f"{model.key}: what was there of it is not of this file; it is downloaded from the start")
            part.restart()
            _fill(part, source, tell, note)
        if part.sha256 != model.sha256:
            found = part.sha256
            part.restart()
            what = f"what came has sha256 {found}, and {model.sha256} is listed; it is not kept"
            mend = f"compare sha256 with what {model.page or model.source} says, or name the revision that it is of"
            raise ImagegenError(Problem(model.key, what, mend))
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
                what = f"{source.model.source}: {cut}; {size_text(part.size)} of {size_text(source.total)} are there"
                mend = "run it again: it goes on from there" if part.size else "check the network, then run it again"
                raise ImagegenError(Problem(source.model.key, what, mend)) from None
            note(f"{source.model.key}: {cut}; trying again")
            time.sleep(_PAUSES_S[max(0, failed - 1)])


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """One download into a folder at a time, whichever project it is for."""
    lock = filelock.FileLock(folder / ".imagegen.lock", timeout=0)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire()
    except filelock.Timeout:
        what = f"another doit models:pull is downloading into {folder}"
        raise ImagegenError(Problem("", what, "wait for it")) from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"cannot write: {error.strerror}: {error.filename or folder}"
        raise ImagegenError(Problem("", what, "mend that, then run it again: what came so far stays")) from None
