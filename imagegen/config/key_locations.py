"""Where every key of a job belongs: for a hint about one that is somewhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imagegen.config.schema import TYPES
from imagegen.errors import did_you_mean

__all__ = ["KeyLocations", "list_types"]

_EACH = "*"
"""Stands for every entry of a list, and for every key of a mapping whose keys are names."""
_ITEM = ("items", _EACH)
_Keys = tuple[str, ...]


class KeyLocations:
    """Where every key of a job belongs, for a hint about one that is somewhere else. schema: of a job file."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._known: dict[str, list[tuple[_Keys, Mapping[str, Any]]]] = {}
        for parent, key, rules in _keys_below(schema, ()):
            self._known.setdefault(key, []).append((parent, rules))

    def hint(self, path: Sequence[str | int], value: object, siblings: Sequence[str]) -> str:
        """Return a hint about an unknown key, such as `; it belongs under generate:`; may be empty.

        Args:
            path: of the key.
            value: of the key.
            siblings: the keys that are known there.
        """
        key, parent = str(path[-1]), _generalise(path[:-1])
        if len(longer := [one for one in siblings if len(key) > 2 and one.startswith(key)]) == 1:  # pad for padding
            return f"; did you mean '{longer[0]}'?"
        if found := self._find_phrases(key, parent, value):
            return f"; it belongs {_join_phrases(found)}"
        if near := did_you_mean(key, siblings):
            return near
        if same := next((one for one in siblings if one in key.lower().split("_")), ""):  # cfg_scale, sampler_name
            return f"; did you mean '{same}'?"
        fitting = [
            known for known, entries in self._known.items() if any(_has_type(value, rules) for _, rules in entries)
        ]
        if (near := did_you_mean(key, fitting)) and (right := near.split("'")[1]) and len(key) > 3:
            return f"; did you mean '{right}', which belongs {_join_phrases(self._find_phrases(right, parent, value))}?"
        return ""

    def hint_inside(self, path: Sequence[str | int], value: object) -> str:
        """Return a hint about a value of the wrong type: where the value or its contents belong; may be empty."""
        key, parent = str(path[-1]), _generalise(path[:-1])
        near = [()] if parent == _ITEM else [(*parent, _EACH)] if parent else [_ITEM]
        same = [
            location for location, rules in self._known.get(key, ()) if location in near and _has_type(value, rules)
        ]
        if same:
            return f"; as it is, '{key}' belongs {_describe_location(same[0], parent)}"
        for inner, below in value.items() if isinstance(value, dict) else ():
            if found := self._find_phrases(str(inner), (*parent, key), below):
                return f"; '{inner}' belongs {_join_phrases(found)}"
        return ""

    def _find_phrases(self, key: str, parent: _Keys, value: object) -> list[str]:
        entries = self._known.get(key, [])
        fitting = [location for location, rules in entries if _has_type(value, rules)] or [
            location for location, _ in entries
        ]
        in_item = parent[:2] == _ITEM
        if in_item and _ITEM in fitting:
            return [_describe_location(_ITEM, parent)]
        of_items = [location for location in fitting if location[:2] == _ITEM]
        others = [location for location in fitting if location not in of_items]
        if in_item:
            chosen = of_items or others
        elif ("generate",) in fitting:
            chosen = [("generate",)]
        else:
            chosen = others + [location for location in of_items if location[2:] not in others]
        return [_describe_location(location, parent) for location in chosen]


def _keys_below(schema: Mapping[str, Any], parent: _Keys) -> Iterator[tuple[_Keys, str, Mapping[str, Any]]]:
    for key, rules in schema.items():
        yield parent, key, rules
        yield from _keys_within(rules, (*parent, key))


def _keys_within(rules: Mapping[str, Any], path: _Keys) -> Iterator[tuple[_Keys, str, Mapping[str, Any]]]:
    inner = rules.get("schema")
    for alternative in rules.get("anyof", ()):
        if alternative.get("type") == "list":
            yield from _keys_within(alternative, path)
    if "valuesrules" in rules:
        yield from _keys_within(rules["valuesrules"], (*path, _EACH))
    elif isinstance(inner, Mapping) and rules.get("type") == "list":
        yield from _keys_within(inner, (*path, _EACH))
    elif isinstance(inner, Mapping):
        yield from _keys_below(inner, path)


def _has_type(value: object, rules: Mapping[str, Any]) -> bool:
    found = [TYPES[name] for name in list_types(rules.get("type", ())) if name in TYPES]
    return any(isinstance(value, one.included) and not isinstance(value, one.excluded) for one in found)


def _generalise(path: Sequence[str | int]) -> _Keys:
    return tuple(_EACH if isinstance(part, int) else str(part) for part in path)


def _describe_location(location: _Keys, parent: _Keys) -> str:
    if not location:
        return "at the top of the job"
    if location == _ITEM:
        return "in the item itself" if parent[:2] == _ITEM else "in an item"
    if location[:2] == _ITEM:
        return f"under {_format_keys(location[2:])} in the item"
    return f"under {_format_keys(location)}"


def _format_keys(location: _Keys) -> str:
    return " ".join("NAME:" if part == _EACH else f"{part}:" for part in location)


def _join_phrases(phrases: Sequence[str]) -> str:
    shown = list(phrases)[:4]
    return f"{', '.join(shown[:-1])} or {shown[-1]}" if len(shown) > 1 else shown[0]


def list_types(constraint: str | Sequence[str]) -> list[str]:
    """Return the names of types that a rule gives as one name or several."""
    return [constraint] if isinstance(constraint, str) else list(constraint)
