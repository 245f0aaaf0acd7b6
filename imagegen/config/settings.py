"""The project's settings. Strongest first: command line, (job file,) environment, pyproject.toml, built-in."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagegen.config.document import merge_conflict
from imagegen.config.models import HUGGING_FACE, ModelFile
from imagegen.config.setting import SETTINGS, Setting
from imagegen.errors import ImagegenError, Problem, did_you_mean

__all__ = ["COMMAND_LINE", "Settings", "Value", "explain_toml", "find_values", "read_settings"]

COMMAND_LINE = "command line"
"""The source that is stronger than a job file."""
_PYPROJECT = "pyproject.toml: [tool.imagegen]"


@dataclass(frozen=True)
class Settings:
    """What holds for the whole project.

    forced_backend, forced_checkpoint: of the command line, stronger than a job's own. backend: for jobs that name none.
    cluster: the address of a Dask scheduler whose workers draw, empty for none.
    allow_outside: folders outside the project that outputs and prompt sources may lie in.
    store_bytes: bound of the store. store: the address of the shared one, empty for none; store_writes: whether what is
    made goes up to it. wait_s: seconds to wait for another build. The others: see the table in
    `config.setting`. Secrets are not kept here.
    sources: where each value came from, by the setting's name; it decides nothing.
    """

    forced_backend: str | None = None
    forced_checkpoint: str | None = None
    backend: str = "placeholder"
    cluster: str = ""
    allow_outside: tuple[str, ...] = ()
    store_bytes: int = 5 * 1024**3
    store: str = ""
    store_writes: bool = True
    wait_s: float = 0.0
    comfyui_server_urls: tuple[str, ...] = ("http://127.0.0.1:8188",)
    comfyui_server_start: str = "auto"
    comfyui_server_ready_timeout_s: float = 180.0
    comfyui_server_arguments: tuple[str, ...] = ()
    comfyui_checkpoint: str = ""
    comfyui_checkpoint_dirs: tuple[str, ...] = ()
    comfyui_model_paths: tuple[tuple[str, tuple[str, ...]], ...] = ()
    comfyui_repository: str = "https://github.com/Comfy-Org/ComfyUI"
    comfyui_revision: str = "v0.33.0"
    comfyui_python: str = ""
    comfyui_torch: str = "auto"
    comfyui_torch_index: str = ""
    ollama_host: str = "127.0.0.1:11434"
    ollama_version: str = "0.32.5"
    ollama_archive_sha256: str = "5789dd037a86adb328c72c11fc45e6c558452d07e5b50814a8bdb7b0fbdbcd81"
    ollama_archive: str = ""
    models: tuple[ModelFile, ...] = ()
    hf_endpoint: str = HUGGING_FACE
    sources: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Value:
    """What a setting is, and where that came from; of a secret, only whether it is set."""

    setting: Setting
    value: Any
    source: str

    def __str__(self) -> str:
        """For a person to read, in a few words."""
        if self.setting.secret:
            return "set" if self.value else "not set"
        return self.setting.kind.show(self.value) or "none"


def read_settings(root: Path, command_line: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    """The settings of the project at `root`.

    command_line: by the names of the table's command-line variables. Raises ImagegenError with all that is wrong.
    """
    values, problems = find_values(root, command_line, environment)
    if problems:
        raise ImagegenError(*problems)
    sources = {value.setting.name: value.source for value in values}
    fields = {
        value.setting.field or value.setting.name.replace(".", "_"): value.value
        for value in values
        if not value.setting.secret
    }
    forced = {value.setting.name: value.value for value in values if value.source == COMMAND_LINE}
    return Settings(
        **fields,
        forced_backend=forced.get("backend"),
        forced_checkpoint=forced.get("comfyui.checkpoint"),
        sources=sources,
    )


def find_values(
    root: Path, command_line: Mapping[str, str], environment: Mapping[str, str]
) -> tuple[list[Value], list[Problem]]:
    """The value of each setting, in the order of the table, and all that is wrong; what is wrong does not count."""
    problems: list[Problem] = []
    table = _table(root / "pyproject.toml", problems)
    problems += _misplaced(table)
    values = []
    for setting in SETTINGS:
        found = Value(setting, setting.built_in, "built-in")
        for source, label, given in reversed(list(_given(setting, command_line, environment, table))):
            try:
                value = setting.kind.read(given)
            except ValueError as error:
                problems += [Problem(source, f"{label}{text}") for text in error.args]
            else:
                found = Value(setting, True if setting.secret else value, source)
        values.append(found)
    return values, problems


def _given(
    setting: Setting, command_line: Mapping[str, str], environment: Mapping[str, str], table: Mapping[str, Any]
) -> Iterator[tuple[str, str, object]]:
    """Each source that gives the setting, strongest first: its name, what a problem begins with, and the value."""
    if text := command_line.get(setting.command_line):
        yield COMMAND_LINE, f"{setting.command_line}=…: ", text  # not the text: it may hold a password
    if text := environment.get(setting.environment):
        yield f"environment variable {setting.environment}", "", text
    if setting.name in table and not setting.secret:
        yield _PYPROJECT, f"{setting.name}: ", table[setting.name]


def _misplaced(table: Mapping[str, Any]) -> Iterator[Problem]:
    secrets = {setting.name: setting for setting in SETTINGS if setting.secret}
    names = [setting.name for setting in SETTINGS if not setting.secret]
    for key, value in table.items():
        if key in secrets:
            hint = f"take it out, and set the environment variable {secrets[key].environment}"
            yield Problem(_PYPROJECT, f"{key}: a secret has no place in a file that is committed", hint)
        elif key in _TABLES:
            yield Problem(_PYPROJECT, f"{key}: expected a table, found {value!r:.40}")
        elif key not in names:
            yield Problem(_PYPROJECT, f"{key}: unknown key{did_you_mean(key, names)}")


_TABLES = {name.rpartition(".")[0] for setting in SETTINGS if "." in (name := setting.name)}


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The keys of the nested tables that settings are in, each as `table.key`."""
    for key, value in table.items():
        if prefix + key in _TABLES and isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _table(path: Path, problems: list[Problem]) -> Mapping[str, Any]:
    try:
        data = path.read_bytes()
    except OSError:
        return {}
    if b"imagegen" not in data:
        return {}
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        table = tomllib.loads(data.decode("utf-8")).get("tool", {}).get("imagegen", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(explain_toml(data, error))
        return {}
    if not isinstance(table, dict):
        problems.append(Problem(_PYPROJECT, "expected a table"))
        return {}
    return dict(_flat(table))


def explain_toml(data: bytes, error: Exception) -> Problem:
    """Return what is wrong with a pyproject.toml of this content, which could not be read because of this error."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as wrong:
        where = f"pyproject.toml:{data[: wrong.start].count(10) + 1}"
        return Problem(where, f"not UTF-8: byte {data[wrong.start]:#04x}", "save it as UTF-8")
    if conflict := merge_conflict("pyproject.toml", text):
        return conflict
    said = " ".join(str(error).split())
    if not isinstance(error, ValueError):
        what = f"[tool.doit] is not as doit expects it: {type(error).__name__}: {said}"
        return Problem("pyproject.toml", what, "correct it")
    place = _TOML_PLACE.search(said)
    where = f":{place[1]}:{place[2]}" if place else ""
    what = said[: place.start()].rstrip() if place else said
    return Problem(f"pyproject.toml{where}", f"not valid TOML: {what}", "correct the file")


_TOML_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")
