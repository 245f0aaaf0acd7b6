"""What a project is configured with, as data: `doit settings`, `presets` and `schema`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["JobBackend", "PresetDescription", "PresetList", "SettingValue", "SettingValues", "WrittenSchema"]


@dataclass(frozen=True)
class SettingValue:
    """A setting.

    Attributes:
        name: name in [tool.imagegen] of pyproject.toml, with a dot for a table in it.
        value: value; null for nothing; a list or a mapping where the setting takes several; seconds, bytes or US
            dollars as a number; for a secret, only whether it is set.
        shown: value in words, as a person would read it; `none` for nothing.
        source: where the value comes from; empty for a secret that is not set.
        help: what the setting is for.
    """

    name: str
    value: str | bool | int | float | tuple[str, ...] | Mapping[str, Any] | None
    shown: str
    source: str
    help: str


@dataclass(frozen=True)
class JobBackend:
    """The backend of a job that names one itself.

    Attributes:
        job: name of the job.
        backend: backend that the job is built with.
        source: job file, or what overrides it.
        help: reason why it is this backend.
    """

    job: str
    backend: str
    source: str
    help: str


@dataclass(frozen=True)
class SettingValues:
    """All settings, with where each value came from.

    Attributes:
        settings: all settings.
        jobs: jobs that name a backend of their own.
    """

    settings: tuple[SettingValue, ...]
    jobs: tuple[JobBackend, ...]


@dataclass(frozen=True)
class PresetDescription:
    """A preset of derived files or of sheets.

    Attributes:
        name: name of the preset, as a job uses it.
        use: where in a job it is used.
        description: what the preset is for.
        keys: keys that it stands for, as a job would have them.
        optional: steps that are left out unless a job gives them.
        example: how a job uses it, in YAML.
    """

    name: str
    use: Literal["derive", "sheet"]
    description: str
    keys: Mapping[str, Any]
    optional: tuple[str, ...]
    example: str


@dataclass(frozen=True)
class PresetList:
    """The presets that were asked for.

    Attributes:
        presets: the named presets, or all of them if none was named.
    """

    presets: tuple[PresetDescription, ...]


@dataclass(frozen=True)
class WrittenSchema:
    """A JSON Schema.

    Attributes:
        path: path of the schema's file, relative to the project; null if it was to be printed.
        state: what became of the file; `up to date`: it had this schema already; null if it was to be printed.
        schema: the schema itself; null if it was to be written to a file.
    """

    path: str | None
    state: Literal["written", "up to date"] | None
    schema: Mapping[str, Any] | None
