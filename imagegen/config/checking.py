"""From a document to a checked job: every problem at once, each with its location and what would be right."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from cerberus import TypeDefinition, Validator, errors

from imagegen.config.acceptance import accept_keys, anchor
from imagegen.config.document import MAX_PROBLEMS, Ambiguous, Document, clean_text
from imagegen.config.job import (
    DEFAULT_QUALITY,
    SIZE_KEYS,
    Derivation,
    Encoding,
    FolderRules,
    Item,
    Job,
    OutputRules,
    SeedRule,
    SheetRules,
    Step,
)
from imagegen.config.presets import Use, check_preset, list_presets, list_steps, load_preset, with_preset
from imagegen.config.schema import ITEM_SCHEMA, SHEET_KEYS, TYPES, Sections, item_schema, job_schema
from imagegen.config.steps import read_step
from imagegen.errors import ImagegenError, Problem, did_you_mean

__all__ = [
    "KeyLocations",
    "build_job",
    "check_item",
    "check_job",
    "check_schema",
    "is_valid_item",
]


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


def check_job(name: str, document: Document, sections: Sections) -> Job:
    """Return the job of a document.

    Args:
        name: of the job.
        document: of its file, merged with what it extends.
        sections: as for `job_schema`.

    Raises:
        ImagegenError: with every problem.
    """
    values = document.values
    if not isinstance(values, dict):
        what = f"a job file is a mapping of keys, found {_describe(values)}"
        raise ImagegenError(Problem(document.where(()), what))
    problems = [
        Problem(document.where(location), f"{_join_location(location)}: {what}", hint)
        for location, what, hint in _grammar(sections).job.check(values)
    ]
    problems += _check_presets(document)
    if not {"items", "source", "extends"} & values.keys():
        problems.append(Problem(document.where(()), "no items: give 'items', or a 'source' that has them, or both"))
    if problems:
        raise ImagegenError(*problems)
    return build_job(name, document)


def _check_presets(document: Document) -> Iterator[Problem]:
    derive, sheet = document.values.get("derive"), document.values.get("sheet")
    if isinstance(sheet, dict):
        yield from _check_sheet_preset(document, sheet)
    for name, rules in derive.items() if isinstance(derive, dict) else ():
        for key, what, hint in check_preset(rules) if isinstance(rules, dict) else ():
            yield Problem(document.where(("derive", name, key)), f"derive.{name}.{key}: {what}", hint)


def _check_sheet_preset(document: Document, rules: Mapping[str, Any]) -> Iterator[Problem]:
    """Find keys of a sheet's preset that the layout beside it makes useless."""
    name, layout = rules.get("preset"), rules.get("layout")
    if layout not in SHEET_KEYS or name not in list_presets("sheet"):
        return
    keys = load_preset("sheet", name).keys
    if layout != keys["layout"]:
        lost = [key for key in SHEET_KEYS[keys["layout"]] if key in keys]
        has = "has" if len(lost) == 1 else "have"
        what = f"the preset {name} is {keys['layout']}, and its {' and '.join(lost)} {has} no effect with {layout}"
        hint = f"leave layout out; or leave preset out, and write sheet: {{layout: {layout}, …}}"
        yield Problem(document.where(("sheet", "layout")), f"sheet.layout: {what}", hint)


def check_item(
    name: str,
    prompt: str,
    overrides: Mapping[str, Any],
    marks: Mapping[str, str],
    sections: Sections,
) -> tuple[Item | None, list[Problem]]:
    """Return an item from a prompt source, None if it is not valid, and its problems.

    Args:
        name: as the source gives it.
        prompt: as the source gives it.
        overrides: its own fields of `generate`, and sections.
        marks: `file:line:column` of 'name', 'prompt' and each override.
        sections: as for `job_schema`.
    """
    values = {**overrides, "name": name, "prompt": prompt}
    problems = [
        Problem(marks.get(str(location[0]), marks["name"]), f"{_join_location(location)}: {what}", hint)
        for location, what, hint in _grammar(sections).item.check(values)
    ]
    problems += [
        Problem(marks.get(key, marks["name"]), f"{key}: comes from the {what} and cannot be overridden")
        for key, what in (("name", "heading"), ("prompt", "code block"))
        if key in overrides
    ]
    return (None if problems else _build_item(values, marks["name"])), problems


def is_valid_item(values: Mapping[str, Any], sections: Sections) -> bool:
    """Whether an item has no problems. values: all that is said of it. sections: as for `job_schema`."""
    return not any(_grammar(sections).item.check(values))


def check_schema(backend: str, options: Mapping[str, Any]) -> str:
    """Return why a backend's options are not a valid schema of its section; empty if they are."""
    try:
        _JobValidator(options)  # by themselves first, for a shorter message
        _JobValidator(job_schema({backend: options}))
    except Exception as error:  # Cerberus raises all kinds
        return f"{type(error).__name__}: {error}"
    return ""


def build_job(name: str, document: Document) -> Job:
    """Return the job of a document that was checked before: see `check_job`."""
    values: dict[str, Any] = document.values
    generate = dict(values.get("generate", {}))
    seed = generate.pop("seed", {})
    prompt = values.get("prompt", {})
    rules = values.get("output", {})
    encoding = _build_encoding(rules, Encoding())
    derive, sheet = values.get("derive", {}), values.get("sheet")
    matrix = dict(values.get("matrix", {}))
    sections = {key: values[key] for key in values if key not in _OWN_KEYS}
    include, exclude = matrix.pop("include", ()), matrix.pop("exclude", ())
    locations = [("output", "dir"), ("output", "name"), ("generate", "seed"), *_walk_locations(values)]
    items = values.get("items", ())
    return Job(
        name=name,
        file=document.name,
        description=values.get("description", ""),
        backend=values.get("backend"),
        generate=_convert_fields(generate),
        seed=SeedRule(**seed) if isinstance(seed, dict) else SeedRule(base=seed),
        prefix=clean_text(prompt.get("prefix", "")),
        suffix=clean_text(prompt.get("suffix", "")),
        source=values.get("source"),
        items=tuple(
            _build_item(item, document.where(("items", index, "name")))
            for index, item in enumerate(() if isinstance(items, dict) else items)
        ),
        folder=_build_folder(items) if isinstance(items, dict) else None,
        matrix={
            axis: dict(found) if isinstance(found, dict) else {str(value): value for value in found}
            for axis, found in matrix.items()
        },
        include=tuple(include),
        exclude=tuple({axis: str(name) for axis, name in entry.items()} for entry in exclude),
        variants=values.get("variants", 1),
        output=OutputRules(
            folder=rules.get("dir", f"assets/{name}"),
            name=rules.get("name", OutputRules.name),
            case=rules.get("case", OutputRules.case),
            separator=rules.get("separator", OutputRules.separator),
            encoding=encoding,
            overwrite=rules.get("overwrite", OutputRules.overwrite),
        ),
        derive=tuple(_build_derivation(document, name, own, encoding) for name, own in derive.items()),
        sheet=None if sheet is None else _build_sheet(sheet),
        sections=sections,
        where={_join_location(location): document.where(location) for location in locations} | {"": document.where(())},
    )


def _walk_locations(value: object, parent_path: Path = ()) -> Iterator[Path]:
    """Yield the location of everything in a job, except what is in a list of items."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield (*parent_path, key)
        if (*parent_path, key) != ("items",) or isinstance(below, dict):
            yield from _walk_locations(below, (*parent_path, key))


def _build_encoding(rules: Mapping[str, Any], default: Encoding) -> Encoding:
    format_ = rules.get("format", default.format)
    quality = default.quality if format_ == default.format else DEFAULT_QUALITY[format_]
    return Encoding(
        format=format_,
        quality=100 if format_ == "png" else rules.get("quality", quality),
        metadata=rules.get("metadata", default.metadata),
    )


def _build_derivation(document: Document, name: str, rules: Mapping[str, Any], of_images: Encoding) -> Derivation:
    steps = tuple(_build_steps(document, name, rules))
    rules = with_preset("derive", rules)
    own = {key: rules[key] for key in SIZE_KEYS if key in rules}
    return Derivation(
        name,
        _build_encoding(rules, of_images),
        folder=rules.get("dir"),
        file_name=rules.get("name"),
        steps=steps,
        only={
            axis: tuple(map(str, found if isinstance(found, list) else [found]))
            for axis, found in rules.get("only", {}).items()
        },
        **own,
    )


def _build_steps(document: Document, name: str, rules: Mapping[str, Any]) -> Iterator[Step]:
    location: Path
    if "preset" in rules:
        for written, key in list_steps(rules):
            step, parameters = read_step(written)
            location = ("derive", name, key)
            shown = f"{_join_location(location)}{f': its step {step}' if key == 'preset' else ''}"
            yield Step(step, parameters, shown, document.where(location))
        return
    for index, written in enumerate(rules.get("steps", ())):
        step, parameters = read_step(written)
        location = ("derive", name, "steps", index)
        yield Step(step, parameters, f"{_join_location(location)}.{step}", document.where(location))


def _build_sheet(rules: Mapping[str, Any]) -> SheetRules:
    rules = with_preset("sheet", rules)
    own = {key: value for key, value in rules.items() if key in SheetRules.__dataclass_fields__}
    own |= {"fps": float(rules["fps"])} if "fps" in rules else {}
    index = rules.get("index", ())
    indexes = (index,) if isinstance(index, str) else tuple(index)
    encoding = _build_encoding(rules, Encoding(metadata="none"))
    return SheetRules(encoding, folder=rules.get("dir"), indexes=indexes, **own)


def _build_folder(rules: Mapping[str, Any]) -> FolderRules:
    return FolderRules(rules["folder"], clean_text(rules["prompt"]) if "prompt" in rules else None)


_OWN_KEYS = frozenset(job_schema({}))


def _build_item(values: Mapping[str, Any], where: str) -> Item:
    overrides = {key: value for key, value in values.items() if key in ITEM_SCHEMA and key not in ("name", "prompt")}
    sections = {key: value for key, value in values.items() if key not in ITEM_SCHEMA}
    return Item(values["name"].strip(), clean_text(values["prompt"]), _convert_fields(overrides), where, sections)


def _convert_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Convert numbers so that `cfg: 7` and `cfg: 7.0` are one request, and clean texts."""
    typed: dict[str, Any] = {
        key: float(value) if ITEM_SCHEMA[key]["type"] == "number" else value for key, value in fields.items()
    }
    if "negative" in typed:
        typed["negative"] = clean_text(typed["negative"])
    return typed


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


class _Grammar:
    """What jobs and items are checked against if the backends have these sections."""

    def __init__(self, sections: Sections) -> None:
        self.sections = sections
        schema = job_schema(sections)
        locations = functools.cache(lambda: KeyLocations(schema))
        self.job = _Checker(schema, locations)
        self.item = _Checker(item_schema(sections), locations, ("items", 0))


_latest: _Grammar | None = None


def _grammar(sections: Sections) -> _Grammar:
    """Return the grammar with these sections: of the same ones, the same."""
    global _latest
    if _latest is None or _latest.sections is not sections:
        _latest = _Grammar(sections)
    return _latest


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
    wanted = [_list_types(e.constraint) for a in alternatives for e in a if e.code == errors.BAD_TYPE.code]
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
        return _explain_type(value, _list_types(constraint))
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


def _list_types(constraint: str | Sequence[str]) -> list[str]:
    return [constraint] if isinstance(constraint, str) else list(constraint)


def _explain_type(value: object, wanted: Sequence[str]) -> str:
    words = [TYPES[word].name for word in wanted if not (word == "whole" and "number" in wanted)]
    hint = "; put it in quotes" if "text" in wanted and isinstance(value, (Ambiguous, bool)) else ""
    if isinstance(value, Ambiguous) and "text" not in wanted:
        hint = "; write a plain decimal number" if {"whole", "number"} & set(wanted) else ""
    return f"{_EXPECTED}{' or '.join(words)}, found {_describe(value)}{hint}"


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


def _describe(value: object) -> str:
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
        alternatives = (one for one in rules.get("anyof", ()) if holder in _list_types(one.get("type", ())))
        rules = next(alternatives, rules)
        known = rules.get("schema", {_ANY: rules["valuesrules"]} if "valuesrules" in rules else {})
    return list(known)


def _join_location(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


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
    found = [TYPES[name] for name in _list_types(rules.get("type", ())) if name in TYPES]
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
