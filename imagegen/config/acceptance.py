"""Whether a value satisfies a schema for certain: found out quickly, and without saying what is wrong.

Cerberus says that, and takes ten times as long. What is accepted here, Cerberus accepts too. Of anything else, a rule
that is not known here among it, nothing is certain, and Cerberus decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from imagegen.config.schema import TYPES

__all__ = ["Accepts", "accept_keys", "anchor"]

Accepts = Callable[[Any], bool]
"""Whether a value satisfies its rules for certain."""

_Rules = Mapping[str, Any]
_EXACT = {name: [dict if kind is Mapping else kind for kind in one.included] for name, one in TYPES.items()}
"""The types of a document's values, by their name in a schema. Without subtypes: True is not among the numbers."""
_WITHOUT_CHECK = frozenset({"meta", "required", "allow_unknown"})
"""Rules that say nothing of the value itself; `accept_keys` and `_accept_schema` see to the last two."""


def accept_keys(schema: Mapping[str, _Rules], unknown: Accepts | None = None) -> Accepts:
    """Return what accepts a mapping with the keys of a schema. unknown: what accepts the value of any other key."""
    if not all(isinstance(rules, Mapping) for rules in schema.values()):  # a name for rules that are elsewhere
        return _reject
    known = {key: _accept(rules) for key, rules in schema.items()}
    required = frozenset(key for key, rules in schema.items() if rules.get("required"))

    def accepts(values: Any) -> bool:
        if type(values) is not dict or not required <= values.keys():
            return False
        for key, value in values.items():
            check = known.get(key, unknown)
            if check is None or not check(value):
                return False
        return True

    return accepts


def anchor(pattern: str) -> str:
    """Return a pattern that matches whole texts only: like Cerberus, but its `$` accepts a new line at the end."""
    return pattern if pattern.endswith("$") else rf"{pattern}\Z"


def _accept(rules: _Rules) -> Accepts:
    """Return what accepts a value by its rules."""
    if not isinstance(rules, Mapping) or not rules.keys() <= _CHECKS.keys() | _WITHOUT_CHECK:
        return _reject
    if not rules.keys() & {"type", "anyof"}:  # it might be None, of which Cerberus has a rule of its own
        return _reject
    checks = [check(rules) for check in dict.fromkeys(_CHECKS[rule] for rule in _CHECKS if rule in rules)]
    if len(checks) == 1:
        return checks[0]

    def accepts(value: Any) -> bool:
        for check in checks:  # noqa: SIM110 - a generator takes as long as two checks
            if not check(value):
                return False
        return True

    return accepts


def _reject(_: Any) -> bool:
    return False


def _accept_type(rules: _Rules) -> Accepts:
    names = [rules["type"]] if isinstance(rules["type"], str) else rules["type"]
    types = frozenset(kind for name in names for kind in _EXACT.get(name, ()))
    return lambda value: type(value) in types


def _accept_range(rules: _Rules) -> Accepts:
    low, high = rules.get("min", float("-inf")), rules.get("max", float("inf"))
    return lambda value: type(value) not in (int, float) or low <= value <= high


def _accept_length(rules: _Rules) -> Accepts:
    least, most = rules.get("minlength", 0), rules.get("maxlength", float("inf"))
    return lambda value: type(value) in (str, list, dict) and least <= len(value) <= most


def _accept_allowed(rules: _Rules) -> Accepts:
    allowed, forbidden = rules.get("allowed"), rules.get("forbidden", ())
    return lambda value: type(value) is str and (allowed is None or value in allowed) and value not in forbidden


def _accept_regex(rules: _Rules) -> Accepts:
    pattern = anchor(rules["regex"])
    return lambda value: type(value) is str and re.match(pattern, value) is not None


def _accept_blank(rules: _Rules) -> Accepts:
    return lambda value: type(value) is str and (rules["blank"] or not value.isspace())


def _accept_unique(_: _Rules) -> Accepts:
    return lambda value: type(value) is list and not any(value.count(one) > 1 for one in value)


def _accept_schema(rules: _Rules) -> Accepts:
    if rules.get("type") == "list":
        entry = _accept(rules["schema"])
        return lambda values: all(map(entry, values))
    if "list" in rules.get("type", ()) or not isinstance(rules["schema"], Mapping):
        return _reject
    unknown = rules.get("allow_unknown")
    keys = accept_keys(rules["schema"], _accept(unknown) if isinstance(unknown, Mapping) else None)
    return lambda value: type(value) is not list and (type(value) is not dict or keys(value))


def _accept_values(rules: _Rules) -> Accepts:
    entry = _accept(rules["valuesrules"])
    return lambda value: type(value) is dict and all(map(entry, value.values()))


def _accept_names(rules: _Rules) -> Accepts:
    name = _accept(rules["keysrules"])
    return lambda value: type(value) is dict and all(map(name, value))


def _accept_any_of(rules: _Rules) -> Accepts:
    if rules.keys() & _CHECKS.keys() != {"anyof"}:
        return _reject  # the alternatives would take over some of the others
    alternatives = [_accept(one) for one in rules["anyof"]]
    return lambda value: any(accepts(value) for accepts in alternatives)


_CHECKS: Mapping[str, Callable[[_Rules], Accepts]] = {
    "type": _accept_type,
    "min": _accept_range,
    "max": _accept_range,
    "minlength": _accept_length,
    "maxlength": _accept_length,
    "allowed": _accept_allowed,
    "forbidden": _accept_allowed,
    "regex": _accept_regex,
    "blank": _accept_blank,
    "unique": _accept_unique,
    "schema": _accept_schema,
    "valuesrules": _accept_values,
    "keysrules": _accept_names,
    "anyof": _accept_any_of,
}
"""By rule, what makes its check, in the order in which they are made: the type first, on which the others rely."""
