"""A checked job: what a job file says, with our defaults in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imagegen.config.encoding import Encoding

__all__ = ["DEFAULT_TIMEOUT_S", "GENERATE_FIELDS", "Item", "Job", "OutputRules", "SeedRule"]

GENERATE_FIELDS = ("width", "height", "steps", "cfg", "sampler", "scheduler", "negative", "seed")
"""The fields of `generate` that can decide pixels (`timeout_s` cannot)."""
DEFAULT_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class SeedRule:
    """How seeds follow. mode: by-name, sequence, fixed or random. base: 0 … 2^63."""

    mode: str = "by-name"
    base: int = 1


@dataclass(frozen=True)
class Item:
    """A named prompt.

    overrides: its own fields of `generate`. sections: its own options, by backend; they go before the job's.
    where: `file:line:column` of its name.
    """

    name: str
    prompt: str
    overrides: Mapping[str, Any]
    where: str
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def section(self, job: Job, backend: str) -> dict[str, Any]:
        """The options for a backend: the job's with the item's own; of mappings, key by key."""
        options = dict(job.sections.get(backend, {}))
        for key, own in self.sections.get(backend, {}).items():
            of_job = options.get(key)
            options[key] = {**of_job, **own} if isinstance(of_job, dict) and isinstance(own, dict) else own
        return options


@dataclass(frozen=True)
class OutputRules:
    """Where outputs go. name: a pattern, `{slug}` for example. overwrite: own, never or always."""

    folder: str
    name: str = "{slug}"
    encoding: Encoding = field(default_factory=Encoding)
    overwrite: str = "own"


@dataclass(frozen=True)
class Job:
    """One job file, checked.

    file: as shown to the user. backend: None where the job leaves it to the settings.
    generate: the fields that it sets, without seed. sections: by backend. matrix: axis → value's name → its text.
    include: cells added to the matrix, each axis → value's name, or {name: text}. exclude: what takes cells out of it,
    each axis → value's name.
    where: `file:line:column` of its parts, by path ('source', 'output.dir', 'matrix.mood', 'matrix.include[0].mood',
    'comfyui.workflow').
    """

    name: str
    file: str
    output: OutputRules
    description: str = ""
    backend: str | None = None
    generate: Mapping[str, Any] = field(default_factory=dict)
    seed: SeedRule = field(default_factory=SeedRule)
    prefix: str = ""
    suffix: str = ""
    source: str | None = None
    items: tuple[Item, ...] = ()
    matrix: Mapping[str, Mapping[str, str | int | float]] = field(default_factory=dict)
    include: tuple[Mapping[str, Any], ...] = ()
    exclude: tuple[Mapping[str, str], ...] = ()
    variants: int = 1
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    where: Mapping[str, str] = field(default_factory=dict)
