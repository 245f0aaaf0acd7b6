"""Documents of jobs for property tests: drawn from the Cerberus schema, then spoilt in a place or two."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

from imagegen.config.schema import job_schema

__all__ = ["KEYS", "drawn", "edges", "job_documents", "places", "spoilt"]

BOUNDS = ("min", "max", "minlength", "maxlength")
WRONG: tuple[Any, ...] = (
    None, True, False, 0, -1, 64.0, 6.5, 1e300, 10**30, "", " ", "\n\t \u2028\x85", "\ufeff", "x", "png", "64", [], {}, [[]], [{}], {"x": 1},
)  # fmt: skip
KEYS = ("x", "stepz", "", "Mood", "slug", "mood\n", "mood", "steps", "seed", "name", "items", "comfyui")


def job_documents(sections: Mapping[str, Mapping[str, Any]]) -> st.SearchStrategy[Any]:
    """Every other one as the schema has it, the others spoilt once or more."""
    schema = job_schema(sections)
    wrong = edges(schema)

    @st.composite
    def document(draw: st.DrawFn) -> Any:
        values = draw(_mapping(schema))
        for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):
            if found := list(places(values)):
                change = draw(st.sampled_from(["replace", "replace", "replace", "remove", "rename", "add"]))
                values = spoilt(
                    values,
                    draw(st.sampled_from(found)),
                    change,
                    draw(st.sampled_from(wrong)),
                    draw(st.sampled_from(KEYS)),
                )
        return values

    return document()


def places(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything that is in the document."""
    for key, value in values.items() if isinstance(values, dict) else enumerate(values):
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*path, key))


def spoilt(values: Any, path: tuple[Any, ...], change: str, wrong: Any, key: str) -> Any:
    """A copy with what is at `path` replaced, removed, renamed to `key`, or something wrong added beside it under `key`."""
    values = copy.deepcopy(values)
    holder = values
    for part in path[:-1]:
        holder = holder[part]
    if change == "remove":
        del holder[path[-1]]
    elif change == "replace":
        holder[path[-1]] = copy.deepcopy(wrong)
    elif change == "rename" and isinstance(holder, dict):
        holder[key] = holder.pop(path[-1])
    elif isinstance(holder, dict):
        holder[key] = copy.deepcopy(wrong)
    else:
        holder.append(copy.deepcopy(wrong))
    return values


def edges(schema: Any) -> list[Any]:
    """What can be wrong: of other types, and on both sides of every bound that the schema has."""
    bounds = set(_bounds(schema))
    numbers = {bound + step * (1 if bound == int(bound) else bound / 2) for _, bound in bounds for step in (-1, 0, 1)}
    lengths = {bound + step for rule, bound in bounds if "length" in rule for step in (0, 1)}
    return [*WRONG, *sorted(numbers), *("x" * length for length in sorted(lengths))]


def _bounds(schema: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(schema, Mapping):
        yield from ((rule, schema[rule]) for rule in BOUNDS if isinstance(schema.get(rule), (int, float)))
    for inner in schema.values() if isinstance(schema, Mapping) else schema if isinstance(schema, list) else ():
        yield from _bounds(inner)


def _mapping(schema: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    required = {key: drawn(rules) for key, rules in schema.items() if rules.get("required")}
    optional = {key: drawn(rules) for key, rules in schema.items() if key not in required}
    return st.fixed_dictionaries(required, optional=optional)


def drawn(rules: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values as a rule has them."""
    if "anyof" in rules:
        return st.one_of([drawn(one) for one in rules["anyof"]])
    if "allowed" in rules:
        return st.sampled_from(rules["allowed"])
    types = [rules["type"]] if isinstance(rules["type"], str) else rules["type"]
    return st.one_of([_typed(word, rules) for word in types])


def _typed(word: str, rules: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    least = rules.get("minlength", 0)
    if word == "text":
        return (
            st.from_regex(rules["regex"], fullmatch=True) if "regex" in rules else st.text(min_size=least, max_size=9)
        )
    if word == "boolean":
        return st.booleans()
    if word == "whole":
        return st.integers(rules.get("min"), rules.get("max"))
    if word == "number":
        return st.floats(rules.get("min"), rules.get("max"), allow_nan=False, allow_infinity=False)
    if word == "boolean":
        return st.booleans()
    if word == "list":
        return st.lists(drawn(rules["schema"]), min_size=least, max_size=3)
    if "schema" in rules:
        return _mapping(rules["schema"])
    keys = drawn(rules.get("keysrules", {"type": "text"}))
    return st.dictionaries(keys, drawn(rules["valuesrules"]), min_size=least, max_size=3)
