"""The JSON Schema as a file of the project."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from imagegen.backends.registry import registry
from imagegen.config.job import GENERATE_FIELDS
from imagegen.config.job_files import JOB_SUFFIXES
from imagegen.config.json_schema import WRITTEN_BY, build_json_schema
from imagegen.errors import ImagegenError, Problem, not_written
from imagegen.plan.request import Request
from imagegen.project.backends import Backends
from imagegen.state.atomic import replace_file

__all__ = ["schema_text", "write_schema"]


def schema_text(*, of_base: bool = False) -> str:
    """The JSON Schema of job files, or of bases, with every backend that there is. Raises ImagegenError."""
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


def write_schema(root: Path, out: str, text: str) -> str:
    """What became of the file. Raises ImagegenError where it cannot or must not be written."""
    path = root / out
    if path.suffix in JOB_SUFFIXES and path.parent.resolve() == (root / "jobs").resolve():
        raise ImagegenError(Problem(out, "would be read as a job", "leave --out out, or choose another place"))
    try:
        there = path.read_text("utf-8", "replace") if path.exists() else None
        if there == text:
            return "up to date"
        if there and WRITTEN_BY not in there:
            raise ImagegenError(Problem(out, "was not written by doit schema", "move it, or choose another --out"))
        replace_file(path, text.encode("utf-8"), root / ".imagegen" / "tmp")
    except OSError as error:
        raise ImagegenError(not_written(error, path=out)) from None
    return "written"
