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
        name: as pyproject.toml has it in [tool.imagegen], with a dot for a table in that.
        value: as it is shown; `none` for nothing. Of a secret, only `set` or `not set`.
        source: what gave the value; empty for a secret that is not set.
        help: what it is for.
    """

    name: str
    value: str
    source: str
    help: str


@dataclass(frozen=True)
class JobBackend:
    """The backend of a job that names one itself.

    Attributes:
        job: its name.
        backend: that it is built with.
        source: the job's file, or what has another backend used.
        help: why it is this one.
    """

    job: str
    backend: str
    source: str
    help: str


@dataclass(frozen=True)
class SettingValues:
    """All settings, with where each value came from.

    Attributes:
        settings: all of them.
        jobs: those that name a backend of their own.
    """

    settings: tuple[SettingValue, ...]
    jobs: tuple[JobBackend, ...]


@dataclass(frozen=True)
class PresetDescription:
    """A preset of derived files or of sheets.

    Attributes:
        name: as a job says it.
        use: where a job says it.
        description: what it is for.
        keys: that it stands for, as a job would say them.
        optional: the steps among these that are left out unless a job gives them.
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
        presets: all of them, if none was named. The page with pictures is not written for a program.
    """

    presets: tuple[PresetDescription, ...]


@dataclass(frozen=True)
class WrittenSchema:
    """A JSON Schema.

    Attributes:
        path: the file that has it now; null if it was to be printed.
        schema: the schema itself, if it was to be printed.
    """

    path: str | None
    schema: Mapping[str, Any] | None
