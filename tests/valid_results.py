"""Whether what is printed with `--json` is what `doit schema --results` says."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from jsonschema import Draft202012Validator

import imagegen.commands  # noqa: F401 - declares them
from imagegen.commands.schema import results_text
from imagegen.errors import FAILED
from tests.project_folder import Run

__all__ = ["check_events", "check_lines", "occurring"]


def check_lines(run: Run) -> list[dict[str, Any]]:
    """Return what each command answered. Each line is as the schema says."""
    check_events(run.events)
    answers = [line for line in run.events if line["event"] == "result"]
    for one in answers:
        # of a command that only looks, what it found is its result
        assert one["problems"] or one["exit_code"] != FAILED or one["command"] not in _BUILDS, one
    return answers


_State = TypeVar("_State", bound=str)
_BUILDS = ("run", "image", "pick", "preview", "reroll")


def occurring(counts: Mapping[_State, int]) -> dict[_State, int]:
    """Return the counts that are not 0."""
    return {state: count for state, count in counts.items() if count}


def check_events(lines: Iterable[Mapping[str, Any]]) -> None:
    """Check that each of these lines is as the schema says."""
    for line in lines:
        problem = next(iter(_validator().iter_errors(line)), None)
        assert problem is None, f"{line}\n{problem}"


@functools.cache
def _validator() -> Draft202012Validator:
    schema = json.loads(results_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(_strict(schema))


def _strict(schema: Any) -> Any:
    """Return the schema without room for fields that it does not name, which a program has to leave room for."""
    if isinstance(schema, list):
        return list(map(_strict, schema))
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    return strict | {"additionalProperties": False} if "properties" in schema else strict
