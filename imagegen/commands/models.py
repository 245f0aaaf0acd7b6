"""`doit models`, `doit models:pull`: the model files that the project lists, which of them are here, and the rest."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from imagegen.commands.build import Build
from imagegen.commands.command import Answer, command
from imagegen.errors import DONE, FAILED, ImagegenError, printable
from imagegen.report.json_output import json_output

if TYPE_CHECKING:
    from imagegen.backends.models import ListedModel
    from imagegen.report.results.storage import ModelState

__all__ = ["describe_model", "models", "pull"]

_NONE = (
    "no models are listed; doit sd:setup lists one, or list your own in [tool.imagegen.models] of pyproject.toml, "
    'such as sdxl = {url = "https://…", folder = "checkpoints"} (docs/models.md of imagegen)'
)


@command(
    "models",
    "Show the models that pyproject.toml lists, with their sizes and what is there.",
    {"doit models": ""},
    needs_jobs=False,
    result="imagegen.report.results.storage:ModelStates",
)
def models(build: Build) -> Answer:
    """List the models."""
    from imagegen.backends.models import inspect_model
    from imagegen.config.cutout_models import CUTOUT_MODELS
    from imagegen.report.results.storage import ModelStates

    listed = [inspect_model(build.root, build.settings, model) for model in build.settings.models]
    names = {model.key for model in build.settings.models}
    known = [
        inspect_model(build.root, build.settings, model) for name, model in CUTOUT_MODELS.items() if name not in names
    ]
    listed += [one for one in known if one.state != "missing"]
    result = ModelStates(_describe(build.root, listed), sum(one.missing_bytes for one in listed))
    return Answer(result, _model_lines(build.root, listed))


@command(
    "models:pull",
    "Download the listed models that are missing.",
    {
        "doit models:pull": "all of them",
        "doit models:pull sdxl": "the one that is listed as sdxl",
        "doit models:pull u2net": "one that the step cutout knows, which needn't be listed",
    },
    words="[NAME...]",
    needs_jobs=False,
    result="imagegen.report.results.storage:PulledModels",
)
def pull(build: Build, words: list[str]) -> Answer:
    """Download them, and say how to go on if that was stopped."""
    try:
        return _pull(build, words)
    except KeyboardInterrupt:
        print("stopped; what was downloaded stays, and doit models:pull goes on from there", flush=True)
        raise SystemExit(130) from None


def _pull(build: Build, names: list[str]) -> Answer:
    """Download those that are missing; one that fails holds up no other."""
    from imagegen.backends.model_downloads import download_models
    from imagegen.backends.models import describe_download, find_obstacles, inspect_model, select_models
    from imagegen.config.cutout_models import CUTOUT_MODELS
    from imagegen.report.console import plural
    from imagegen.report.results.storage import PulledModels

    root, settings = build.root, build.settings
    # a model of the step cutout need not be listed
    known = list({**CUTOUT_MODELS, **{model.key: model for model in settings.models}}.values()) if names else []
    chosen = select_models(known or settings.models, names)
    wanted = [inspect_model(root, settings, model) for model in chosen]
    if problems := list(find_obstacles(root, wanted)):
        raise ImagegenError(*problems)
    missing = [one for one in wanted if one.state != "there"]
    if not missing:
        return Answer(PulledModels(_describe(root, wanted), ()), _model_lines(root, wanted))
    incomplete = sum(bool(one.missing_bytes) for one in missing)
    print(f"{plural(incomplete, 'model')}: {describe_download(missing)}", flush=True)
    with _PullReport(root, sys.stdout) as report:
        problems = download_models(root, settings, missing, report)
    now = [inspect_model(root, settings, model) for model in chosen]
    was_missing = {one.model.key for one in missing}
    pulled = tuple(one.model.key for one in now if one.state == "there" and one.model.key in was_missing)
    return Answer(PulledModels(_describe(root, now), pulled), (), FAILED if problems else DONE, problems)


def _describe(root: Path, listed: Sequence[ListedModel]) -> tuple[ModelState, ...]:
    return tuple(describe_model(root, one) for one in listed)


def describe_model(root: Path, one: ListedModel) -> ModelState:
    """Return a model file as data."""
    from imagegen.backends.models import display_path
    from imagegen.report.results.storage import ModelState

    return ModelState(
        name=one.model.key,
        state=one.state,
        path=display_path(root, one.path),
        bytes=one.bytes,
        size=_size(one),
        sha256=one.model.sha256,
        source=one.model.origin,
        licence_page=one.model.page,
        sd_models=tuple(_list_sd_models(one)),
    )


def _model_lines(root: Path, listed: Sequence[ListedModel]) -> list[str]:
    """Return a line for each model, and one for what is to be downloaded and the room for it."""
    from imagegen.backends.models import describe_download, display_path
    from imagegen.backends.text import size_text
    from imagegen.report.console import plural, table

    if not listed:
        return [_NONE]
    rows = [
        (_state(one), one.model.key, size_text(_size(one)), display_path(root, one.path), _remarks(one))
        for one in listed
    ]
    there = sum(one.state == "there" for one in listed)
    closing = f"{there} of {plural(len(listed), 'model')} {'is' if 1 in (there, len(listed)) else 'are'} there"
    if missing := [one for one in listed if one.state in ("missing", "partly")]:
        closing += f"; {describe_download(missing)}: doit models:pull"
    return [*table(rows), closing]


def _state(one: ListedModel) -> str:
    if one.state == "partly":
        return f"{min(99, 100 * one.bytes // one.model.size)} %"
    return "another file" if one.state == "other" else one.state


def _size(one: ListedModel) -> int:
    return one.bytes if one.state == "there" else one.model.size


def _remarks(one: ListedModel) -> str:
    """Return where its licence can be read, and the models of sd that it is a file of."""
    names = _list_sd_models(one)
    return "  ".join(filter(None, (_licence(one, ""), f"sd: {', '.join(names)}" if names else "")))


def _list_sd_models(one: ListedModel) -> list[str]:
    from imagegen.backends.sd.known_models import KNOWN_MODELS

    return [
        name
        for name, known in KNOWN_MODELS.items()
        if any(file.sha256 == one.model.sha256 for file in known.parts.values())
    ]


def _licence(one: ListedModel, before: str) -> str:
    return f"{before}licence: {one.model.page}" if one.model.page else ""


class _PullReport:
    """Prints a line when a download begins and one when it ends; between them a bar, on a terminal only."""

    def __init__(self, root: Path, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.progress import TransferSpeedColumn as SpeedColumn

        self._root = root
        self._console = Console(file=stream, highlight=False, soft_wrap=True, markup=False)
        name = TextColumn("{task.description}", markup=False)
        columns = [BarColumn(bar_width=24), DownloadColumn(binary_units=True), SpeedColumn(), TimeRemainingColumn()]
        self._bar = Progress(*columns, name, console=self._console, transient=True)
        self._task = self._bar.add_task("", visible=False)
        self._began_s = 0.0

    def __enter__(self) -> _PullReport:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:  # elsewhere some versions of rich end in an empty line
            self._bar.stop()

    def begin(self, one: ListedModel) -> None:
        from imagegen.backends.text import size_text

        self._began_s = time.monotonic()
        part = f", {size_text(one.bytes)} of it are here already" if one.bytes else ""
        source = f"from {one.model.origin}{_licence(one, '  ')}"
        self.note(f"pulling  {one.model.key}  {size_text(_size(one))}{part}, {source}")
        self._bar.reset(self._task, description=one.model.key, total=one.model.size, completed=one.bytes, visible=True)

    def on_progress(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total)

    def end(self, one: ListedModel) -> None:
        from imagegen.backends.models import display_path

        seconds = time.monotonic() - self._began_s
        self.note(f"pulled   {one.model.key}  {display_path(self._root, one.path)}  {seconds:.1f} s")

    def note(self, text: str) -> None:
        self._bar.update(self._task, visible=False)
        self._console.print(printable(text))
        self._console.file.flush()
        if output := json_output():
            output.write({"event": "progress", "text": text})
