"""Setting a model up: list its files in pyproject.toml, and download those that are missing."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import MappingProxyType

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
from imagegen.backends.sd.files import KINDS, find_listed, find_model_file, list_files, list_models
from imagegen.backends.sd.known_models import KNOWN_MODELS, KnownFile, KnownModel, suggest_model
from imagegen.backends.sd.memory import this_machine
from imagegen.backends.sd.program import read_mark
from imagegen.backends.text import list_first, size_text
from imagegen.config.models import ModelFile, read_models
from imagegen.config.pyproject import TomlTable, add_tables, format_tables
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, InputError, Problem, did_you_mean, not_written
from imagegen.plan.request import Request

__all__ = ["ModelsInPlace", "check_name", "describe_models", "setup_model"]

_PYPROJECT = "pyproject.toml"
_SETTINGS = ("tool", "imagegen")


@dataclass(frozen=True)
class ModelsInPlace:
    """The models of a project, once they are set up.

    Attributes:
        files: their files, as they are now.
        downloaded: the names of those that were downloaded now.
        default: the model for jobs that name none, if it was chosen now; else empty.
    """

    files: Sequence[ListedModel]
    downloaded: Sequence[str]
    default: str


def setup_model(
    root: Path,
    settings: Settings,
    name: str,
    progress: Progress,
    ask: Callable[[], None],
    requests: Sequence[Request] = (),
    recorded: Mapping[str, int] = MappingProxyType({}),
) -> ModelsInPlace:
    """List the files of models in pyproject.toml, and download them; the project gets a model if it has none.

    These are the named model, or else the project's and those of the requests; where a run would have no model for jobs
    that name none, it is the one that suits this machine. What is done already is left alone: with all files in place,
    nobody is contacted. After a kill at any moment the next call continues.

    Args:
        root: the project's folder.
        settings: the project's.
        name: of a known model; or empty.
        progress: gets what is to be downloaded, and how far that is.
        ask: called before anything is downloaded or becomes stale, once it was reported what that will be; may raise.
        requests: images whose models are needed as well, where no model is named.
        recorded: for jobs that name none, the models that their lock files give, with how many images each generated.

    Raises:
        ImagegenError: what was done stays.
    """
    check_name(root, settings, name)
    default = "" if settings.sd_model else name or _suggest_default(root, settings, requests)
    models = [KNOWN_MODELS[name]] if name else _choose(settings, default, requests)
    files, tables = _plan(settings, models)
    if not name:
        files += _list_own(root, settings, requests)
        files = list(dict.fromkeys(files))
    wanted = _inspect(root, settings, files, progress)
    missing = [one for one in wanted if one.state != "there"]
    for line in _announce(root, settings, models, wanted, tables):
        progress.event("note", text=line)
    for line in _announce_default(root, settings, default, requests, recorded):
        progress.event("note", text=line)
    if missing and default and not name:
        others = ", ".join(one for one in KNOWN_MODELS if one != default)
        text = f"{default} suits this machine; for another model: doit sd:setup --model=NAME ({others})"
        progress.event("note", text=text)
    if missing or (default and any(recorded.values())):
        ask()
    if default:
        tables.append(TomlTable((*_SETTINGS, "sd"), {"model": default}))
    if tables:
        _write(root, tables, progress)
    try:
        problems = download_models(root, settings, missing, _Report(root, progress))
    finally:
        progress.event("waiting", text="")
    if problems:
        raise ImagegenError(*problems)
    if name and settings.sd_model not in ("", name):
        use = f'model: {name} under sd in a job, or model = "{name}" in [tool.imagegen.sd]'
        progress.event("note", text=f"jobs that name no model keep using {settings.sd_model}; to use {name}: {use}")
    now = [inspect_model(root, settings, file) for file in files]
    return ModelsInPlace(now, [one.model.key for one in missing], default)


def describe_models() -> list[str]:
    """Return a line for each known model: its name, size and memory, how long a picture takes, its licence."""
    rows = [
        (one.name, size_text(one.bytes), f"{size_text(one.memory)} of memory", one.seconds, one.licence)
        for one in KNOWN_MODELS.values()
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def check_name(root: Path, settings: Settings, name: str) -> None:
    """Raise ImagegenError if a name is not a known model's. An empty one is."""
    if not name or name in KNOWN_MODELS:
        return
    if path := find_model_file(root, list_model_folders(root, settings), "model", name):
        shown = name.replace("\\", "/")
        what = f"{display_path(root, Path(path))} is there already, and sd:setup has nothing to download for it"
        use = f'model = "{shown}" under [tool.imagegen.sd] in {_PYPROJECT}, or model: {shown} under sd in a job'
        raise InputError(Problem("", what, f"use it: {use}"))
    raise InputError(Problem("", f"no model '{name}' is known{did_you_mean(name, KNOWN_MODELS)}", _take_one()))


def _suggest_default(root: Path, settings: Settings, requests: Sequence[Request]) -> str:
    """Return the model that suits this machine, if a run would have none for jobs that name none; else empty."""
    if not _has_open_jobs(requests) or len(list_models(list_model_folders(root, settings))) == 1:
        return ""
    device = "" if settings.sd_program else str(read_mark(root).get("device") or "")
    machine = this_machine()
    return suggest_model(machine.memory if device in ("", "cpu", "metal") else machine.gpu, device)


def _has_open_jobs(requests: Sequence[Request]) -> bool:
    """Return whether a job has no model yet, or there is no job yet."""
    return not (requests and all(request.model for request in requests))


def _choose(settings: Settings, default: str, requests: Sequence[Request]) -> list[KnownModel]:
    """Return the known models that are needed: the project's or the default, and the requests'."""
    names = [settings.sd_model or default, *(request.model for request in requests)]
    return [KNOWN_MODELS[name] for name in dict.fromkeys(names) if name in KNOWN_MODELS]


def _take_one() -> str:
    return "\n    ".join(("take one of these:", *describe_models()))


def _plan(settings: Settings, models: Sequence[KnownModel]) -> tuple[list[ModelFile], list[TomlTable]]:
    """Return the models' files as the project lists them, or will, and the entries that it lacks.

    Raises:
        ImagegenError: the project has another file of that name.
    """
    files: dict[str, ModelFile] = {}
    tables = []
    for part, file in dict.fromkeys(pair for model in models for pair in model.parts.items()):
        listed = find_listed(settings, part, file)
        if listed is None:
            table = _describe_entry(settings, file)
            tables.append(table)
            (listed,) = read_models({table.path[-1]: table.values})
        files[file.key] = listed
    return list(files.values()), tables


def _describe_entry(settings: Settings, file: KnownFile) -> TomlTable:
    """Return the file's entry in pyproject.toml, under a name that is free. Raises ImagegenError."""
    for other in settings.models:
        if (other.folder, other.name.lower()) == (file.folder, file.name.lower()):
            what = f"[tool.imagegen.models.{other.key}] is another file of the name {file.folder}/{file.name}"
            raise InputError(Problem(_PYPROJECT, what, "give that one another name: name = …"))
    taken = {other.key for other in settings.models}
    keys = (file.key if number == 1 else f"{file.key}-{number}" for number in count(1))
    values: dict[str, str | int] = {"repo": file.repo, "file": file.file, "revision": file.revision}
    values |= {"folder": file.folder, "sha256": file.sha256, "size": file.size}
    values |= {"licence": file.page} if file.page else {}
    return TomlTable((*_SETTINGS, "models", next(key for key in keys if key not in taken)), values)


def _list_own(root: Path, settings: Settings, requests: Sequence[Request]) -> list[ModelFile]:
    """Return the other files that the project lists, of its own model and those of the requests.

    Raises:
        ImagegenError: the project's model is neither a known one, nor listed, nor there.
    """
    named = {pair for request in requests for pair in list_files(request)}
    own = settings.sd_model
    if own and own not in KNOWN_MODELS:
        named.add(("model", own))
        if not _is_at_hand(root, settings, own):
            what = f"there is no file {own}, and no known model has that name{did_you_mean(own, KNOWN_MODELS)}"
            raise InputError(Problem("sd.model", what, _take_one()))
    return [one for one in settings.models if any(_is_named(one, part, name) for part, name in named)]


def _inspect(root: Path, settings: Settings, files: Sequence[ModelFile], progress: Progress) -> list[ListedModel]:
    """Look for the files. Raises ImagegenError if something keeps them from being downloaded."""
    progress.event("waiting", text="checking model files")
    try:
        wanted = [inspect_model(root, settings, file) for file in files]
    finally:
        progress.event("waiting", text="")
    if problems := list(find_obstacles(root, wanted)):
        raise ImagegenError(*problems)
    return wanted


def _is_named(file: ModelFile, part: str, name: str) -> bool:
    return file.name == name and file.folder in KINDS[part]


def _announce(
    root: Path,
    settings: Settings,
    models: Sequence[KnownModel],
    wanted: Sequence[ListedModel],
    tables: Sequence[TomlTable],
) -> Iterator[str]:
    """Yield the models, what is there of them, what is to be downloaded, and what is to be added to pyproject.toml."""
    for model in models:
        yield f"model {model.name}: {model.title}"
        yield f"  licence: {model.licence.replace(':', ',')}, {model.page}"
        yield f"  it takes about {size_text(model.memory)} of memory, and for a picture about {model.seconds}"
    if settings.sd_model and settings.sd_model not in KNOWN_MODELS:
        yield f"the project's model is {settings.sd_model}"
    missing = [one for one in wanted if one.state != "there"]
    pages = {model.page for model in models}
    for one in wanted:
        path = display_path(root, one.path)
        if one in missing:
            licence = f", licence: {one.model.page}" if one.model.page not in ("", *pages) else ""
            yield f"to be downloaded: {path}, {size_text(one.missing_bytes)} from {one.model.origin}{licence}"
        else:
            yield f"there already: {path}"
    if missing:
        yield describe_download(missing)
    if tables:
        yield f"to be added to {_PYPROJECT}: {', '.join('[' + '.'.join(table.path) + ']' for table in tables)}"


def _announce_default(
    root: Path, settings: Settings, default: str, requests: Sequence[Request], recorded: Mapping[str, int]
) -> Iterator[str]:
    """Yield which model jobs that name none will use, unless the settings name it; and what becomes stale."""
    if settings.sd_model:
        return
    names = list_models(list_model_folders(root, settings))
    if default:
        yield f'to be added to {_PYPROJECT}: model = "{default}" in [tool.imagegen.sd], for jobs that name no model'
        for model, count in recorded.items():
            if count:
                yield f"  images that this makes stale: {count}, generated with {model}"
        if len(names) > 1:
            yield f"  to use one of the checkpoints that are there, name that instead: {list_first(names, 5)}"
        return
    if used := dict.fromkeys([*recorded, *(names if _has_open_jobs(requests) else ())]):
        shown = ", ".join(one if _is_at_hand(root, settings, one) else f"{one}, which is not there" for one in used)
        yield f"jobs that name no model use {shown}; to use another one: doit sd:setup --model=NAME"


def _is_at_hand(root: Path, settings: Settings, checkpoint: str) -> bool:
    """Return whether a checkpoint is there, or is listed and so downloaded."""
    is_listed = any(_is_named(one, "model", checkpoint) for one in settings.models)
    return is_listed or bool(find_model_file(root, list_model_folders(root, settings), "model", checkpoint))


def _write(root: Path, tables: Sequence[TomlTable], progress: Progress) -> None:
    """Add them to pyproject.toml; or, if that cannot be done safely, report the lines to add. Raises ImagegenError."""
    path = (root / _PYPROJECT).resolve()  # a link stays a link
    try:
        data = b""
        if path.exists():
            with path.open("r+b") as file:  # fails if it is read-only
                data = file.read()
        _replace(path, add_tables(data.decode("utf-8"), tables).encode("utf-8"), root / ".imagegen" / "tmp")
    except OSError as error:
        raise ImagegenError(not_written(error, path=_PYPROJECT)) from None
    except ValueError as error:
        progress.event("note", text=f"{_PYPROJECT} is left as it is: {error}. Add these lines yourself:")
        for line in format_tables(tables).split("\n"):
            progress.event("note", text=line)


def _replace(path: Path, data: bytes, temporary: Path) -> None:
    """Put the bytes at `path` in one step, with the permissions that it has. Raises OSError.

    Args:
        temporary: the folder that they are written to first, so that a kill leaves nothing beside `path`. Where that is
            another file system, they are written beside it under a hidden name.
    """
    try:
        _write_and_rename(path, data, temporary)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _write_and_rename(path, data, path.parent)


def _write_and_rename(path: Path, data: bytes, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / f".{uuid.uuid4().hex}.tmp"
    try:
        with written.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, written)
        written.replace(path)
    finally:
        written.unlink(missing_ok=True)


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
