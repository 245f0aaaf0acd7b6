"""Values against the grammar of jobs: every problem, with its location and what would be right."""

from __future__ import annotations

import functools
import itertools
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from cerberus import TypeDefinition, Validator, errors

from imagegen.config.acceptance import accept_keys, anchor
from imagegen.config.document import MAX_PROBLEMS, Ambiguous, clean_text
from imagegen.config.key_locations import KeyLocations, list_types
from imagegen.config.presets import Use, list_presets
from imagegen.config.rules import mapping
from imagegen.config.schema import TYPES, Sections, item_schema, job_schema
from imagegen.errors import did_you_mean

__all__ = ["Grammar", "check_schema", "describe_value", "get_grammar", "join_location"]

Path = tuple[Any, ...]


class _JobValidator(Validator):  # type: ignore[misc]  # Cerberus ships no types
    types_mapping: ClassVar = {name: TypeDefinition(*kind) for name, kind in TYPES.items()}

    def _error(self, *args: Any) -> None:
        if len(args) > 1:
            if args[1] == errors.BAD_TYPE and self._is_not_allowed(args[0]):
                args = (args[0], errors.UNALLOWED_VALUE, None)
            super()._error(*args)  # makes the error, and calls this with it
        elif len(self._errors) < MAX_PROBLEMS:
            # for each, Cerberus would sort them all and fill two trees that nobody reads: minutes for a few thousand
            self._errors.extend(args[0])

    def _is_not_allowed(self, field: str) -> bool:
        """Whether this scalar would be wrong as text as well: only some words are allowed."""
        has_words = "allowed" in self._resolve_rules_set(self.schema[field])
        return has_words and isinstance(self.document[field], (Ambiguous, bool, int, float))

    def _validate_blank(self, allowed: bool, field: str, value: object) -> None:
        """{'type': 'boolean'}"""  # noqa: D400, D415 - Cerberus reads from it what the rule may be
        if not allowed and isinstance(value, str) and value and not clean_text(value):
            self._error(field, "has nothing in it but white space")

    def _validate_unique(self, is_unique: bool, field: str, value: object) -> None:
        """{'type': 'boolean'}"""  # noqa: D400, D415 - as above
        repeated = next((one for one in value if value.count(one) > 1), None) if isinstance(value, list) else None
        if is_unique and repeated is not None:
            self._error(field, f"'{repeated}' is given twice")

    def _validate_regex(self, pattern: str, field: str, value: object) -> None:
        """{'type': 'string'}"""  # noqa: D400, D415 - as above
        if isinstance(value, str) and not re.match(anchor(pattern), value):
            expected = self._resolve_rules_set(self.schema[field]).get("meta", {}).get("expected", "text for this key")
            meant = f"; did you mean '#{value}'?" if re.match(anchor(pattern), f"#{value}") else ""
            self._error(field, f"'{_on_one_line(value[:60])}' is not a valid {expected}{meant}")


class _Checker:
    """Checks values against one schema, for which Cerberus takes a few milliseconds once.

    parent_path: where the values would be in a job.
    """

    def __init__(
        self, schema: Mapping[str, Any], locations: Callable[[], KeyLocations], parent_path: Path = ()
    ) -> None:
        self._schema, self._locations, self._parent_path = schema, locations, parent_path
        self._accepts = accept_keys(schema)
        self._validator: _JobValidator | None = None

    def check(self, values: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
        """Yield each problem: its location, what is wrong, and a hint."""
        if self._accepts(values):
            return
        self._validator = self._validator or _JobValidator(self._schema, allow_unknown=False)
        self._validator.validate(values, normalize=False)
        for location, what, value in _walk_errors(self._validator._errors):
            hint = ""
            full = (*self._parent_path, *location)
            if what == _UNKNOWN:
                what += self._locations().hint(full, value, _find_siblings(self._schema, location))
            elif what.startswith(_EXPECTED):
                what += self._locations().hint_inside(full, value)
                hint = "" if what.endswith(":") else _suggest_value(what, value, full)
            elif full == ("items", "folder"):
                hint = "write the items as a list, '- {name: …, prompt: …}', or name a folder of pictures"
            yield location, what, hint


class Grammar:
    """What jobs and items are checked against if the backends have these sections."""

    def __init__(self, sections: Sections) -> None:
        self.sections = sections
        schema = job_schema(sections)
        locations = functools.cache(lambda: KeyLocations(schema))
        self.job = _Checker(schema, locations)
        self.item = _Checker(item_schema(sections), locations, ("items", 0))


_latest = threading.local()
"""Its `grammar`, which this thread used last: a validator of Cerberus is for one thread at a time."""


def get_grammar(sections: Sections) -> Grammar:
    """Return the grammar with these sections: of the same ones, the same."""
    grammar: Grammar | None = getattr(_latest, "grammar", None)
    if grammar is None or grammar.sections is not sections:
        grammar = _latest.grammar = Grammar(sections)
    return grammar


def check_schema(backend: str, options: Mapping[str, Any]) -> str:
    """Return why a backend's options are not a valid schema of its section; empty if they are."""
    try:
        _JobValidator(options)  # by themselves first, for a shorter message
        _JobValidator({backend: mapping("", dict(options))})  # the rest of a job is ours, and takes Cerberus far longer
    except Exception as error:  # Cerberus raises all kinds
        return f"{type(error).__name__}: {error}"
    return ""


def _walk_errors(found: Sequence[Any]) -> Iterator[tuple[Path, str, object]]:
    """Yield each problem: its location, what is wrong, and the value."""
    for error in found:
        path = tuple(error.document_path)
        if error.code == errors.ANYOF.code:
            yield from _walk_alternatives(error)
        elif error.is_group_error or error.code in _NESTED:
            yield from _walk_errors(error.child_errors)
        elif text := _explain_random_seed(path, error.value) or _explain(error):
            yield path, text, error.value


_UNKNOWN = "unknown key"
_EXPECTED = "expected "
_NESTED = {errors.MAPPING_SCHEMA.code, errors.SEQUENCE_SCHEMA.code, errors.VALUESRULES.code, errors.KEYSRULES.code}


def _walk_alternatives(error: Any) -> Iterator[tuple[Path, str, object]]:
    """Yield the problems of that alternative whose type the value has."""
    alternatives = list(error.definitions_errors.values())
    here = tuple(error.document_path)
    for alternative in alternatives:
        if not any(e.code == errors.BAD_TYPE.code and tuple(e.document_path) == here for e in alternative):
            yield from _walk_errors(alternative)
            return
    wanted = [list_types(e.constraint) for a in alternatives for e in a if e.code == errors.BAD_TYPE.code]
    yield here, _explain_type(error.value, list(dict.fromkeys(itertools.chain(*wanted)))), error.value


def _explain_random_seed(path: Path, value: object) -> str:
    """Return what to write instead of a random seed as other programs write it; empty for any other value."""
    if path[-1:] != ("seed",) or str(getattr(value, "text", value)).lower() not in ("-1", "random", "randomize"):
        return ""
    rule = "write seed: {mode: random}"
    if path[0] != "generate":
        rule = "leave it out here and write generate: {seed: {mode: random}} in a job"
    return f"{getattr(value, 'text', value)} is not a seed; for a random one, {rule}"


def _explain(error: Any) -> str:
    value, constraint = error.value, error.constraint
    if error.code == errors.CUSTOM.code:
        return str(error.info[0])
    if error.code == errors.UNKNOWN_FIELD.code:
        return _UNKNOWN
    if error.code == errors.REQUIRED_FIELD.code:
        return "is missing"
    if error.code == errors.BAD_TYPE.code:
        return _explain_type(value, list_types(constraint))
    if error.code == errors.NOT_NULLABLE.code:
        return "has no value: give it one, or leave it out"
    if error.code == errors.UNALLOWED_VALUE.code:
        allowed = [str(one).lower() if isinstance(one, bool) else str(one) for one in constraint]
        text = str(value).lower() if isinstance(value, bool) else str(getattr(value, "text", value))
        return f"'{_on_one_line(text)}' is not one of {', '.join(allowed)}{did_you_mean(text, allowed)}"
    if error.code == errors.FORBIDDEN_VALUE.code:
        return f"the name '{value}' is taken: choose another"
    if error.code == errors.MIN_VALUE.code:
        return f"{value} is too small: at least {constraint}"
    if error.code == errors.MAX_VALUE.code:
        return f"{value} is too large: at most {constraint}"
    if error.code == errors.MIN_LENGTH.code:
        return "is empty"
    if error.code == errors.MAX_LENGTH.code:
        if isinstance(value, Mapping):
            return f"has {len(value)} keys, at most {constraint}: make each an entry of its own"
        unit = "characters" if isinstance(value, str) else "entries"
        return f"is too long: {len(value)} {unit}, at most {constraint}"
    return f"breaks the rule {error.rule}: {constraint}"


def _on_one_line(text: str) -> str:
    return text.replace("\n", "\\n")


def _explain_type(value: object, wanted: Sequence[str]) -> str:
    words = [TYPES[word].name for word in wanted if not (word == "whole" and "number" in wanted)]
    hint = "; put it in quotes" if "text" in wanted and isinstance(value, (Ambiguous, bool)) else ""
    if isinstance(value, Ambiguous) and "text" not in wanted:
        hint = "; write a plain decimal number" if {"whole", "number"} & set(wanted) else ""
    return f"{_EXPECTED}{' or '.join(words)}, found {describe_value(value)}{hint}"


def _suggest_value(what: str, value: object, path: Path) -> str:
    """Return what to write instead of a value of the wrong type, if that is known."""
    wanted = what.removeprefix(_EXPECTED).partition(", found ")[0]
    if "text" in wanted and isinstance(value, list):
        return "write it as one text; if the text begins with [, put it in quotes"
    if "text" in wanted and isinstance(value, dict):
        return "put text that begins with { or has ': ' in it in quotes"
    if "text" in wanted and isinstance(value, (int, float)) and not isinstance(value, bool):
        return "put it in quotes"
    if "number" in wanted and isinstance(value, str) and re.fullmatch(r"\s*\d+,\d+\s*", value):
        return f"write it with a point: {value.strip().replace(',', '.')}"
    if isinstance(value, str) and re.match(r"[\w.-]+(?::\S|\s*[=\uff1a])", value):
        return "write 'key: value', with a colon and a space after it"
    if path[:1] == ("items",) and len(path) == 2 and isinstance(value, str):
        return "write {name: …, prompt: …}"
    if wanted == "a list" and isinstance(value, dict):
        return "begin each entry with a dash and a space: '- name: …'"
    return _suggest_mapping(value, path) if wanted == "a mapping" else ""


def _suggest_mapping(value: object, path: Path) -> str:
    """Return the mapping to write instead of a short form that there is not, if that is known."""
    if path == ("sheet",) and isinstance(value, list):
        return "a job has one sheet; for another one of the same images, write a job that extends this one"
    if path[:1] == ("derive",) and isinstance(value, int) and path[-1] == "resize":
        return f"write resize: {{width: {value}}}"
    use: Use | None = (
        "derive" if path[:1] == ("derive",) and len(path) == 2 else "sheet" if path == ("sheet",) else None
    )
    if use and isinstance(value, str) and value.lower() in list_presets(use):
        return f"write {{preset: {value.lower()}}}"
    return ""


def describe_value(value: object) -> str:
    """Say what a value is, for an error."""
    if isinstance(value, Ambiguous):
        return f"{value.text}, which YAML may read as {value.meaning}"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text '{value[:40]}{'…' if len(value) > 40 else ''}'"
    return "a list" if isinstance(value, list) else "a mapping"


_ANY = ""
"""Stands for every key of a mapping whose values all have one schema."""


def _find_siblings(schema: Mapping[str, Any], path: Path) -> list[str]:
    """Return the keys that are known where the last one of a path is not."""
    known: Mapping[str, Any] = schema
    for part, below in itertools.pairwise(path):
        rules = known if isinstance(part, int) else known.get(part, known.get(_ANY, {}))
        holder = "list" if isinstance(below, int) else "mapping"
        alternatives = (one for one in rules.get("anyof", ()) if holder in list_types(one.get("type", ())))
        rules = next(alternatives, rules)
        known = rules.get("schema", {_ANY: rules["valuesrules"]} if "valuesrules" in rules else {})
    return list(known)


def join_location(path: Path) -> str:
    """Return a path in a document as people write it: `items[0].name`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
