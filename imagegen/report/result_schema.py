"""The JSON Schema of what `--json` prints, from the dataclasses of the results: `doit schema --results`."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from imagegen.errors import Problem
from imagegen.report.event_types import EVENTS
from imagegen.report.json_output import VERSION, problem_data

__all__ = ["answer_schema", "results_schema"]

_SIMPLE = {str: "string", Path: "string", bool: "boolean", int: "integer", float: "number", Decimal: "number"}


def results_schema(results: Mapping[str, type]) -> dict[str, Any]:
    """Return the schema of one line.

    Args:
        results: by the name of each command, the dataclass of its result.
    """
    definitions: dict[str, Any] = {"Problem": _problem_schema()}
    answers = [_answer(name, _schema(kind, definitions)) for name, kind in sorted(results.items())]
    events = [_event(name, kind, definitions) for name, kind in EVENTS.items()]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line that imagegen prints with --json",
        "description": "The last line has the event `result`, one for each command that was named.",
        "oneOf": [*events, *answers],
        "$defs": dict(sorted(definitions.items())),
    }


def answer_schema(command: str, result: type | None) -> dict[str, Any]:
    """Return the schema of the last line of one command, by itself. result: the dataclass of its result."""
    definitions: dict[str, Any] = {"Problem": _problem_schema()}
    answer = _answer(command, _schema(result, definitions) if result else {})
    return {**answer, "$defs": dict(sorted(definitions.items()))}


def _event(name: str, kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an event. A field with a default may be left out."""
    schema = _describe_class(kind, definitions)
    required = [one.name for one in dataclasses.fields(kind) if one.default is dataclasses.MISSING]
    return {
        **schema,
        "required": ["event", *required],
        "properties": {"event": {"const": name}, **schema["properties"]},
    }


def _answer(command: str, result: dict[str, Any]) -> dict[str, Any]:
    return _object(
        {
            "event": {"const": "result"},
            "version": {"const": VERSION},
            "command": {"const": command},
            "exit_code": {"type": "integer", "description": "see docs/scripting.md"},
            "problems": {"type": "array", "items": {"$ref": "#/$defs/Problem"}},
            "result": {"anyOf": [result, {"type": "null"}], "description": "null if it did not get so far"},
        }
    )


def _problem_schema() -> dict[str, Any]:
    fields = {
        name: {"type": _PROBLEM_TYPES.get(name, "string"), "description": _PROBLEM_TEXTS[name]}
        for name in problem_data(Problem("", ""))
    }
    return _object(fields, "Something that is wrong: what, where, and what to do about it.")


_PROBLEM_TYPES = {"file": ["string", "null"], "line": ["integer", "null"], "column": ["integer", "null"]}
_PROBLEM_TEXTS = {
    "where": "what the problem is about: a file with its line and column, a task, a setting or an option; may be empty",
    "file": "path of the file to look at, relative to the project; null if there is none",
    "line": "number of the line, from 1; null if it is not known",
    "column": "number of the column, from 1; null if it is not known",
    "what": "what is wrong, in one sentence",
    "hint": "what to do about it; empty if that is obvious",
}


def _object(properties: dict[str, Any], description: str = "") -> dict[str, Any]:
    head = {"description": description} if description else {}
    return {**head, "type": "object", "required": list(properties), "properties": properties}


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, inner = get_origin(kind), get_args(kind)
    if kind is None or kind is type(None):
        return {"type": "null"}
    if kind is Problem:
        return {"$ref": "#/$defs/Problem"}
    if kind in _SIMPLE:
        return {"type": _SIMPLE[kind]}
    if origin is Literal:
        return {"enum": list(inner)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(one, definitions) for one in inner]}
    if origin and issubclass(origin, Mapping) and get_origin(inner[0]) is Literal:
        value = _schema(inner[1], definitions)
        return _object({str(key): value for key in get_args(inner[0])})
    if origin and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(inner[1], definitions)}
    if origin and issubclass(origin, (Sequence, set, frozenset)):
        return {"type": "array", "items": _schema(inner[0], definitions)}
    if dataclasses.is_dataclass(kind):
        return _refer(typing.cast(type, kind), definitions)
    return {}


def _refer(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    """Define a dataclass once, and return a reference to it."""
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}
        definitions[kind.__name__] = _describe_class(kind, definitions)
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _describe_class(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    hints, said = typing.get_type_hints(kind), _describe_fields(kind)
    fields = {
        one.name: {**_schema(hints[one.name], definitions), **said.get(one.name, {})}
        for one in dataclasses.fields(kind)
    }
    return _object(fields, (kind.__doc__ or "").strip().partition("\n")[0])


def _describe_fields(kind: type) -> dict[str, dict[str, str]]:
    """Return what the docstrings of a class and of those above it say of each field, below `Attributes:`."""
    said: dict[str, dict[str, str]] = {}
    for one in reversed(kind.__mro__):
        _, _, attributes = (one.__doc__ or "").partition("Attributes:\n")
        found = re.findall(r"^ {8}(\w+): ((?:.|\n {12})+)", attributes, re.MULTILINE)
        said |= {name: {"description": " ".join(text.split()).removesuffix(".")} for name, text in found}
    return said
