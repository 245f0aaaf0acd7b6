"""Where in a job a key belongs, for one that was written elsewhere: read from the schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imagegen.config.schema import TEST_BACKEND
from imagegen.errors import did_you_mean

__all__ = ["Places"]

_EACH = "*"
"""Stands for every entry of a list, and for every key of a mapping whose keys are names."""
_ITEM = ("items", _EACH)
_PYTHON_TYPES = {
    "text": (str,),
    "whole": (int,),
    "number": (int, float),
    "mapping": (dict,),
    "list": (list,),
    "boolean": (bool,),
}

_Parent = tuple[str, ...]


class Places:
    """The places of every key of a job. schema: of a job file."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._known: dict[str, list[tuple[_Parent, Mapping[str, Any]]]] = {}
        for parent, key, rules in _walk(schema, ()):
            if TEST_BACKEND in parent:
                continue
            self._known.setdefault(key, []).append((parent, rules))

    def hint(self, path: Sequence[str | int], value: object, siblings: Sequence[str]) -> str:
        """Of an unknown key: `; it belongs under generate:`, or a near one; may be empty.

        path: with the key at its end. siblings: the keys that are known there.
        """
        key, parent = str(path[-1]), _generic(path[:-1])
        if found := self._phrases(key, parent, value):
            return f"; it belongs {_listed(found)}"
        if near := did_you_mean(key, siblings):
            return near
        if same := next((one for one in siblings if one in key.lower().split("_")), ""):  # cfg_scale, sampler_name
            return f"; did you mean '{same}'?"
        fitting = [known for known, places in self._known.items() if any(_fits(value, rules) for _, rules in places)]
        if (near := did_you_mean(key, fitting)) and (right := near.split("'")[1]) and len(key) > 3:
            return f"; did you mean '{right}', which belongs {_listed(self._phrases(right, parent, value))}?"
        return ""

    def hint_inside(self, path: Sequence[str | int], value: object) -> str:
        """Of a value of the wrong type: where a value of this type, or what is in it, belongs; may be empty."""
        key, parent = str(path[-1]), _generic(path[:-1])
        near = [()] if parent == _ITEM else [(*parent, _EACH)] if parent else [_ITEM]
        same = [place for place, rules in self._known.get(key, ()) if place in near and _fits(value, rules)]
        if same:
            return f"; as it is, '{key}' belongs {_phrase(same[0], parent)}"
        for inner, below in value.items() if isinstance(value, dict) else ():
            if found := self._phrases(str(inner), (*parent, key), below):
                return f"; '{inner}' belongs {_listed(found)}"
        return ""

    def _phrases(self, key: str, parent: _Parent, value: object) -> list[str]:
        places = self._known.get(key, [])
        fitting = [place for place, rules in places if _fits(value, rules)] or [place for place, _ in places]
        in_item = parent[:2] == _ITEM
        if in_item and _ITEM in fitting:
            return [_phrase(_ITEM, parent)]
        of_items = [place for place in fitting if place[:2] == _ITEM]
        others = [place for place in fitting if place not in of_items]
        if in_item:
            chosen = of_items or others
        elif ("generate",) in fitting:
            chosen = [("generate",)]
        else:
            chosen = others + [place for place in of_items if place[2:] not in others]
        return [_phrase(place, parent) for place in chosen]


def _walk(schema: Mapping[str, Any], parent: _Parent) -> Iterator[tuple[_Parent, str, Mapping[str, Any]]]:
    for key, rules in schema.items():
        yield parent, key, rules
        yield from _walk_value(rules, (*parent, key))


def _walk_value(rules: Mapping[str, Any], path: _Parent) -> Iterator[tuple[_Parent, str, Mapping[str, Any]]]:
    inner = rules.get("schema")
    if "valuesrules" in rules:
        yield from _walk_value(rules["valuesrules"], (*path, _EACH))
    elif isinstance(inner, Mapping) and rules.get("type") == "list":
        yield from _walk_value(inner, (*path, _EACH))
    elif isinstance(inner, Mapping):
        yield from _walk(inner, path)


def _fits(value: object, rules: Mapping[str, Any]) -> bool:
    types = rules.get("type", ())
    known = [_PYTHON_TYPES.get(one, ()) for one in ([types] if isinstance(types, str) else types)]
    return any(isinstance(value, one) and (bool in one or not isinstance(value, bool)) for one in known)


def _generic(path: Sequence[str | int]) -> _Parent:
    return tuple(_EACH if isinstance(part, int) else str(part) for part in path)


def _phrase(place: _Parent, parent: _Parent) -> str:
    if not place:
        return "at the top of the job"
    if place == _ITEM:
        return "in the item itself" if parent[:2] == _ITEM else "in an item"
    if place[:2] == _ITEM:
        return f"under {_keys(place[2:])} in the item"
    return f"under {_keys(place)}"


def _keys(place: _Parent) -> str:
    return " ".join("NAME:" if part == _EACH else f"{part}:" for part in place)


def _listed(phrases: Sequence[str]) -> str:
    shown = list(phrases)[:3]
    return f"{', '.join(shown[:-1])} or {shown[-1]}" if len(shown) > 1 else shown[0]
