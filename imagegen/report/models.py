"""The models that the project lists, as a person reads them, and their downloads while they go on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from imagegen.backends.comfyui.models import ListedModel, display_path, free_bytes
from imagegen.backends.text import size_text
from imagegen.errors import printable
from imagegen.report.console import counted, table

__all__ = ["PullReport", "model_lines", "pull_line"]


def model_lines(root: Path, listed: Sequence[ListedModel]) -> list[str]:
    """A line for each model, and one for what is to be downloaded and the room for it."""
    rows = [
        (_state(one), one.model.key, size_text(_size(one)), display_path(root, one.path), _licence(one, ""))
        for one in listed
    ]
    there = sum(one.state == "there" for one in listed)
    closing = f"{there} of {counted(len(listed), 'model')} {'is' if there == 1 else 'are'} there"
    lacking = [one for one in listed if one.state in ("missing", "partly")]
    if lacking:
        closing += f"; {_to_download(lacking)}: doit models:pull"
    return [*(printable(line) for line in table(rows)), closing]


def pull_line(wanted: Sequence[ListedModel]) -> str:
    """How much is to be downloaded of these, before any of it is."""
    lacking = [one for one in wanted if one.lacking]
    return f"{counted(len(lacking), 'model')}: {_to_download(lacking or wanted)}"


def _to_download(lacking: Sequence[ListedModel]) -> str:
    needed, free = sum(one.lacking for one in lacking), free_bytes(lacking[0].path)
    return f"{size_text(needed)} to download, {size_text(free)} free"


class PullReport:
    """A line when a download begins and one when it ends; between them a bar, on a terminal only."""

    def __init__(self, root: Path, stream: TextIO) -> None:
        self._root = root
        self._console = Console(file=stream, highlight=False, soft_wrap=True, markup=False)
        self._bar = Progress(
            BarColumn(bar_width=24),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("", visible=False)
        self._began_s = 0.0

    def __enter__(self) -> PullReport:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:  # elsewhere some versions of rich end in an empty line
            self._bar.stop()

    def begin(self, one: ListedModel) -> None:
        """Its download is about to begin."""
        self._began_s = time.monotonic()
        begun = f", {size_text(one.bytes)} of it are there" if one.bytes else ""
        self.say(
            f"pulling  {one.model.key}  {size_text(_size(one))}{begun}, from {one.model.source}{_licence(one, '  ')}"
        )
        self._bar.reset(self._task, description=one.model.key, total=one.model.size, completed=one.bytes, visible=True)

    def tell(self, done: int, total: int) -> None:
        """So many bytes are there, of so many."""
        self._bar.update(self._task, completed=done, total=total)

    def end(self, one: ListedModel) -> None:
        """Its download has ended well."""
        seconds = time.monotonic() - self._began_s
        self.say(f"pulled   {one.model.key}  {display_path(self._root, one.path)}  {seconds:.1f} s")

    def say(self, text: str) -> None:
        """A line that stays."""
        self._bar.update(self._task, visible=False)
        self._console.print(printable(text))
        self._console.file.flush()


def _state(one: ListedModel) -> str:
    if one.state == "partly":
        return f"{min(99, 100 * one.bytes // one.model.size)} %"
    return {"other": "another file"}.get(one.state, one.state)


def _size(one: ListedModel) -> int:
    return one.bytes if one.state == "there" else one.model.size


def _licence(one: ListedModel, before: str) -> str:
    return f"{before}licence: {one.model.page}" if one.model.page else ""
