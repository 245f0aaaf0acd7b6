"""From a document to a checked job: every problem at once, each with its location and what would be right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from imagegen.config.document import Document, clean_text
from imagegen.config.grammar import describe_value, get_grammar, join_location
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
from imagegen.config.presets import check_preset, list_presets, list_steps, load_preset, with_preset
from imagegen.config.schema import ITEM_SCHEMA, SHEET_KEYS, Sections, job_schema
from imagegen.config.steps import read_step
from imagegen.errors import InputError, Problem

__all__ = [
    "build_job",
    "check_item",
    "check_job",
    "is_valid_item",
]


Path = tuple[Any, ...]


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
        what = f"a job file is a mapping of keys, found {describe_value(values)}"
        raise InputError(Problem(document.where(()), what))
    problems = [
        Problem(document.where(location), f"{join_location(location)}: {what}", hint)
        for location, what, hint in get_grammar(sections).job.check(values)
    ]
    problems += _check_presets(document)
    if not {"items", "source", "extends"} & values.keys():
        problems.append(Problem(document.where(()), "no items: give 'items', or a 'source' that has them, or both"))
    if problems:
        raise InputError(*problems)
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
        Problem(marks.get(str(location[0]), marks["name"]), f"{join_location(location)}: {what}", hint)
        for location, what, hint in get_grammar(sections).item.check(values)
    ]
    problems += [
        Problem(marks.get(key, marks["name"]), f"{key}: comes from the {what} and cannot be overridden")
        for key, what in (("name", "heading"), ("prompt", "code block"))
        if key in overrides
    ]
    return (None if problems else _build_item(values, marks["name"])), problems


def is_valid_item(values: Mapping[str, Any], sections: Sections) -> bool:
    """Whether an item has no problems. values: all that is said of it. sections: as for `job_schema`."""
    return not any(get_grammar(sections).item.check(values))


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
        where={join_location(location): document.where(location) for location in locations} | {"": document.where(())},
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
            shown = f"{join_location(location)}{f': its step {step}' if key == 'preset' else ''}"
            yield Step(step, parameters, shown, document.where(location))
        return
    for index, written in enumerate(rules.get("steps", ())):
        step, parameters = read_step(written)
        location = ("derive", name, "steps", index)
        yield Step(step, parameters, f"{join_location(location)}.{step}", document.where(location))


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
