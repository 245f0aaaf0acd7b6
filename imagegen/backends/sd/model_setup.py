"""Setting a model up: list its files in pyproject.toml, and download those that are missing."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from imagegen.backends.base import Progress
from imagegen.backends.model_downloads import download_models
from imagegen.backends.models import (
    ListedModel,
    describe_download,
    display_path,
    find_obstacles,
    inspect_model,
    list_model_folders,
)
from imagegen.backends.sd.files import KINDS, find_listed, find_model_file
from imagegen.backends.sd.known_models import KNOWN_MODELS, KnownFile, KnownModel, suggest_model
from imagegen.backends.sd.memory import this_machine
from imagegen.backends.sd.program import read_mark
from imagegen.backends.text import size_text
from imagegen.config.models import ModelFile, read_models
from imagegen.config.pyproject import TomlTable, add_tables, format_tables
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, Problem, did_you_mean, not_written

__all__ = ["check_name", "describe_models", "setup_model"]

_PYPROJECT = "pyproject.toml"
_SETTINGS = ("tool", "imagegen")


def setup_model(root: Path, settings: Settings, name: str, progress: Progress, ask: Callable[[], None]) -> None:
    """List a model's files in pyproject.toml, make it the project's model if there is none, and download it.

    What is done already is left alone: with all files in place, nobody is contacted. After a kill at any moment the
    next call continues.

    Args:
        root: the project's folder.
        settings: the project's.
        name: of a known model; empty for the one that the settings name, or else the one that suits this machine.
        progress: gets what is to be downloaded, and how far that is.
        ask: called before anything is downloaded or written, once it was reported what that will be; may raise.

    Raises:
        ImagegenError: what was done stays.
    """
    model = _choose(root, settings, name)
    files, tables = _plan(settings, model) if model else (_list_own(root, settings), [])
    progress.event("waiting", text="checking model files")
    try:
        wanted = [inspect_model(root, settings, file) for file in files]
    finally:
        progress.event("waiting", text="")
    if problems := list(find_obstacles(root, wanted)):
        raise ImagegenError(*problems)
    missing = [one for one in wanted if one.state != "there"]
    _announce(root, settings, model, wanted, tables, progress)
    if missing:
        ask()
    if tables:
        _write(root, tables, progress)
    try:
        problems = download_models(root, settings, missing, _Report(root, progress))
    finally:
        progress.event("waiting", text="")
    if problems:
        raise ImagegenError(*problems)
    if model:
        progress.event("note", text=f"{model.name} is set up")


def describe_models() -> list[str]:
    """Return a line for each known model: its name, size and memory, how long a picture takes, its licence."""
    rows = [
        (one.name, size_text(one.bytes), f"{size_text(one.memory)} of memory", one.seconds, one.licence)
        for one in KNOWN_MODELS.values()
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _choose(root: Path, settings: Settings, name: str) -> KnownModel | None:
    """Return the known model to set up; None if the project's is another one. Raises ImagegenError."""
    check_name(name)
    if not (name or settings.sd_model):
        device = "" if settings.sd_program else str(read_mark(root).get("device") or "")
        machine = this_machine()
        name = suggest_model(machine.memory if device in ("", "cpu", "metal") else machine.gpu, device)
    return KNOWN_MODELS.get(name or settings.sd_model)


def check_name(name: str) -> None:
    """Raise ImagegenError if a name is not a known model's. An empty one is."""
    if name and name not in KNOWN_MODELS:
        raise ImagegenError(Problem("", f"no model '{name}' is known{did_you_mean(name, KNOWN_MODELS)}", _take_one()))


def _take_one() -> str:
    return "\n    ".join(("take one of these:", *describe_models()))


def _plan(settings: Settings, model: KnownModel) -> tuple[list[ModelFile], list[TomlTable]]:
    """Return the model's files as the project lists them, or will, and what is to be added to pyproject.toml.

    Raises:
        ImagegenError: the project has another file of that name.
    """
    files, tables = [], []
    for part, file in model.parts.items():
        listed = find_listed(settings, part, file)
        if listed is None:
            table = _describe_entry(settings, file)
            tables.append(table)
            (listed,) = read_models({table.path[-1]: table.values})
        files.append(listed)
    if not settings.sd_model:
        tables.append(TomlTable((*_SETTINGS, "sd"), {"model": model.name}))
    return files, tables


def _describe_entry(settings: Settings, file: KnownFile) -> TomlTable:
    """Return the file's entry in pyproject.toml, under a name that is free. Raises ImagegenError."""
    for other in settings.models:
        if (other.folder, other.name.lower()) == (file.folder, file.name.lower()):
            what = f"[tool.imagegen.models.{other.key}] is another file of the name {file.folder}/{file.name}"
            raise ImagegenError(Problem(_PYPROJECT, what, "give that one another name: name = …"))
    taken = {other.key for other in settings.models}
    keys = (file.key if number == 1 else f"{file.key}-{number}" for number in count(1))
    values: dict[str, str | int] = {"repo": file.repo, "file": file.file, "revision": file.revision}
    values |= {"folder": file.folder, "sha256": file.sha256, "size": file.size}
    values |= {"licence": file.page} if file.page else {}
    return TomlTable((*_SETTINGS, "models", next(key for key in keys if key not in taken)), values)


def _list_own(root: Path, settings: Settings) -> list[ModelFile]:
    """Return the project's own model, if it is listed. Raises ImagegenError if it is neither listed nor there."""
    name = settings.sd_model
    listed = [one for one in settings.models if one.name == name and one.folder in KINDS["model"]]
    if not listed and not find_model_file(root, list_model_folders(root, settings), "model", name):
        what = f"there is no file {name}, and no known model has that name{did_you_mean(name, KNOWN_MODELS)}"
        raise ImagegenError(Problem("sd.model", what, _take_one()))
    return listed


def _announce(
    root: Path,
    settings: Settings,
    model: KnownModel | None,
    wanted: Sequence[ListedModel],
    tables: Sequence[TomlTable],
    progress: Progress,
) -> None:
    """Report the model, what is there of it, what is to be downloaded, and what is to be added to pyproject.toml."""
    lines = [f"the project's model is {settings.sd_model}"]
    if model:
        needs = f"about {size_text(model.memory)} of memory; a picture takes about {model.seconds}"
        lines = [f"{model.name}: {model.title}; {model.licence}; {needs}"]
    missing = [one for one in wanted if one.state != "there"]
    for one in wanted:
        size, path = size_text(one.missing_bytes), display_path(root, one.path)
        if one in missing:
            licence = f"; licence: {one.model.page}" if one.model.page else ""
            lines.append(f"to be downloaded: {path}, {size} from {one.model.origin}{licence}")
        else:
            lines.append(f"there already: {path}")
    if missing:
        lines.append(describe_download(missing))
    if tables:
        added = ", ".join(f"[{'.'.join(table.path)}]" for table in tables)
        lines.append(f"to be added to {_PYPROJECT}: {added}")
    if model and settings.sd_model not in ("", model.name):
        use = f"sd: {{model: {model.name}}} in a job, or model in [tool.imagegen.sd]"
        lines.append(f"jobs that name no model keep using {settings.sd_model}; to use {model.name}: {use}")
    for line in lines:
        progress.event("note", text=line)


def _write(root: Path, tables: Sequence[TomlTable], progress: Progress) -> None:
    """Add them to pyproject.toml; or, if that cannot be done safely, report the lines to add. Raises ImagegenError."""
    path = (root / _PYPROJECT).resolve()  # a link stays a link
    try:
        data = b""
        if path.exists():
            with path.open("r+b") as file:  # fails if it is read-only
                data = file.read()
        _replace(path, add_tables(data.decode("utf-8"), tables).encode("utf-8"))
    except OSError as error:
        raise ImagegenError(not_written(error, path=_PYPROJECT)) from None
    except ValueError as error:
        progress.event("note", text=f"{_PYPROJECT} is left as it is: {error}. Add these lines yourself:")
        for line in format_tables(tables).split("\n"):
            progress.event("note", text=line)


def _replace(path: Path, data: bytes) -> None:
    """Put the bytes at `path` in one step, with the permissions that it has. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class _Report:
    """Shows downloads as the progress of a command."""

    def __init__(self, root: Path, progress: Progress) -> None:
        self._root, self._progress = root, progress
        self._key = self._shown = ""

    def begin(self, one: ListedModel) -> None:
        self._key = one.model.key

    def on_progress(self, done: int, total: int) -> None:
        text = f"downloading {self._key} {size_text(done)} of {size_text(total)}, {100 * done // total} %"
        if text != self._shown:
            self._shown = text
            self._progress.event("waiting", text=text)

    def end(self, one: ListedModel) -> None:
        self.note(f"downloaded {display_path(self._root, one.path)}")

    def note(self, text: str) -> None:
        self._progress.event("waiting", text="")
        self._progress.event("note", text=text)
