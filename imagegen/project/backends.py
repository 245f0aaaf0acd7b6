"""The backends of a project, and the JSON Schema of job files, which follows from them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from imagegen.backends.base import Backend
from imagegen.config.schema import Sections
from imagegen.errors import ImagegenError, InputError, Problem, did_you_mean, not_written

__all__ = ["Backends", "schema_text", "write_schema"]


class Backends:
    """Each backend is made when it is first asked for, and once.

    registry: what makes each, by its name. cluster: the address of the Dask cluster that generates; empty for none.
    """

    def __init__(self, registry: Mapping[str, Callable[[], Backend]], cluster: str = "") -> None:
        self.registry = registry
        self._cluster = cluster
        self._made: dict[str, Backend | ImagegenError] = {}
        """Each backend, or why it cannot be used."""
        self._sections: Sections | None = None

    def __getitem__(self, name: str) -> Backend:
        """Return the backend. Raises ImagegenError if there is none of that name, or it cannot be used."""
        self.check_name(name)
        if name not in self._made:
            try:
                self._made[name] = self.registry[name]()
            except ImagegenError as error:
                self._made[name] = error
        found = self._made[name]
        if isinstance(found, ImagegenError):
            raise InputError(*found.problems)
        return found

    def check_name(self, name: str) -> None:
        """Check that there is a backend of this name, usable or not. Raises ImagegenError."""
        if name not in self.registry:
            what = f"there is no backend '{name}'{did_you_mean(name, self.registry)}"
            raise InputError(Problem("", what, f"choose one of {', '.join(sorted(self.registry))}"))

    def unusable(self) -> dict[str, ImagegenError]:
        """Return the backends that cannot be used, with what is wrong with them."""
        found = {}
        for name in self.registry:
            try:
                self[name]
            except ImagegenError as error:
                found[name] = error
        return found

    def is_remote(self, name: str) -> bool:
        """Whether a cluster generates for this backend. Placeholders are generated faster than they are sent."""
        return bool(self._cluster) and self[name].is_generator

    def for_run(self, name: str) -> Backend:
        """Return what generates for this backend in a run: itself, or the cluster. Raises ImagegenError."""
        if not self.is_remote(name):
            return self[name]
        from imagegen.backends.cluster import ClusterBackend

        return ClusterBackend(self[name], self._cluster)

    def sections(self) -> Sections:
        """Return the schema of each backend's section in a job; None if the backend cannot be used. Always the same."""
        if self._sections is None:
            unusable = self.unusable()
            self._sections = {name: None if name in unusable else self[name].options for name in self.registry}
        return self._sections


def schema_text(*, of_base: bool = False) -> str:
    """Return the JSON Schema of job files, or of bases, with every backend that there is. Raises ImagegenError."""
    from imagegen.backends.registry import registry
    from imagegen.config.json_schema import build_json_schema
    from imagegen.config.schema import GENERATE_FIELDS
    from imagegen.plan.request import Request

    backends = Backends(registry())
    sections = backends.sections()
    usable = {name: backends[name] for name, options in sections.items() if options is not None}
    defaults: dict[tuple[str, ...], Any] = {
        ("generate", field.name): field.default
        for field in dataclasses.fields(Request)
        if field.name in GENERATE_FIELDS and field.default is not None
    }
    models = {(name, backend.model_option): backend.default_model for name, backend in usable.items()}
    defaults |= {path: model for path, model in models.items() if model}
    schema = build_json_schema(sections, defaults, of_base=of_base)
    return json.dumps(schema, indent=2) + "\n"


def write_schema(root: Path, out: str, text: str) -> Literal["written", "up to date"]:
    """Write the schema file, and return what became of it. Raises ImagegenError if it must not be written."""
    from imagegen.config.job_files import JOB_SUFFIXES
    from imagegen.config.json_schema import WRITTEN_BY
    from imagegen.state.atomic import find_target, rewrite_file

    path = find_target(root, out, out)
    if path.suffix in JOB_SUFFIXES and path.parent.resolve() == (root / "jobs").resolve():
        raise InputError(Problem(out, "would be read as a job", "leave --out out, or choose another path"))
    try:
        there = path.read_text("utf-8", "replace") if path.exists() else None
        if there == text:
            return "up to date"
        if there and WRITTEN_BY not in there:
            raise InputError(Problem(out, "was not written by doit schema", "move it, or choose another --out"))
        rewrite_file(path, text.encode("utf-8"), root / ".imagegen" / "tmp")
    except OSError as error:
        raise ImagegenError(not_written(error, path=out)) from None
    return "written"
