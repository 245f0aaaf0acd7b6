"""The grammar of a job file as a JSON Schema (draft-07), for editors: derived from its Cerberus schema, rule by rule.

It agrees with the checks but for what JSON Schema cannot say, and then accepts more: its `integer` accepts 64.0, our
`whole` does not; it does not know what a base has, which words are colours in CSS, or what the parameters of a step
become beside those that its preset has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from imagegen.config.job import DEFAULT_TIMEOUT_S, SIZE_KEYS, Encoding, Job, OutputRules, SeedRule
from imagegen.config.presets import list_presets, load_preset
from imagegen.config.schema import Sections, job_schema
from imagegen.config.steps import STEPS, check_step, read_step
from imagegen.errors import ImagegenError, Problem

__all__ = ["WRITTEN_BY", "build_json_schema"]

WRITTEN_BY = "Written by 'doit schema'. Do not edit."
"""The schema's comment, which shows that a file is ours."""

Rules = Mapping[str, Any]

_DEFAULTS = {
    ("generate", "timeout_s"): DEFAULT_TIMEOUT_S,
    ("generate", "seed", "mode"): SeedRule.mode,
    ("generate", "seed", "base"): SeedRule.base,
    ("variants",): Job.variants,
    ("output", "name"): OutputRules.name,
    ("output", "case"): OutputRules.case,
    ("output", "separator"): OutputRules.separator,
    ("output", "format"): Encoding.format,
    ("output", "metadata"): Encoding.metadata,
    ("output", "overwrite"): OutputRules.overwrite,
}

_STEPS: Mapping[str, Mapping[str, Any]] = {
    "mask": {
        "oneOf": [{"required": ["shape"]}, {"required": ["image"]}],
        "dependencies": {
            "radius": {"required": ["shape"], "properties": {"shape": {"const": "rounded"}}},
            "margin": ["shape"],
        },
    },
    "resize": {
        "anyOf": [{"required": ["width"]}, {"required": ["height"]}],
        "if": {"required": ["mode"], "properties": {"mode": {"enum": ["fill", "exact"]}}},
        "then": {"required": ["width", "height"]},
        "dependencies": {"keep": {"required": ["mode"], "properties": {"mode": {"const": "fill"}}}},
    },
    "pad": {
        "oneOf": [
            {"required": ["to"]},
            {"required": ["margin"]},
            {"anyOf": [{"required": ["width"]}, {"required": ["height"]}]},
        ],
        "dependencies": {"margin": {"properties": {"position": False}}},
    },
    "quantise": {"oneOf": [{"required": ["colours"]}, {"required": ["palette"]}]},
    "shadow": {"properties": {"opacity": {"not": {"const": 0}}}},
    "rotate": {"properties": {"angle": {"not": {"enum": [-360, 0, 360]}}}},
}
"""By step: what its `check` in `config.steps` refuses, for an editor."""


def build_json_schema(
    sections: Sections, defaults: Mapping[tuple[str, ...], Any], *, of_base: bool = False
) -> dict[str, Any]:
    """Return the JSON Schema of a job file.

    Args:
        sections: as for `job_schema`.
        defaults: of requests and backends, by the key's path: ('generate', 'width') → 1024.
        of_base: for a file that jobs extend, which needs no items.

    Raises:
        ImagegenError: for a rule without a counterpart here, which a package's backend may use.
    """
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": WRITTEN_BY,
        "title": "A base of jobs of imagegen" if of_base else "A job of imagegen",
        "type": "object",
        **_convert_keys(job_schema(sections), ""),
    }
    _add_rules_of_derived_files(schema["properties"]["derive"]["additionalProperties"])
    _add_layouts_of_presets(schema["properties"]["sheet"])
    if not of_base:
        schema["anyOf"] = [{"required": [key]} for key in ("items", "source", "extends")]
    # null takes out what a base has; which keys that has, only the checks know
    found = schema["properties"]
    schema["properties"] = {key: one if key == "extends" else _allow_null(one) for key, one in found.items()}
    schema["if"] = {"not": {"required": ["extends"]}}
    schema["then"] = {"additionalProperties": {"not": {"type": "null"}}}
    if not of_base:
        needs = {"crop": ["width", "height"]} | {step: ["preset"] for step in STEPS}
        schema["then"]["properties"] = {"derive": {"type": "object", "additionalProperties": {"dependencies": needs}}}
    for path, default in {**_DEFAULTS, **defaults}.items():
        found = schema
        for key in path:
            found = found["properties"][key]
        found["default"] = default
    return schema


def _add_rules_of_derived_files(entry: dict[str, Any]) -> None:
    """Add to the schema of a derived file what is checked beyond each key by itself, and of each step in a list."""
    entry["allOf"] = []
    for name in list_presets("derive"):
        has_preset = {"required": ["preset"], "properties": {"preset": {"const": name}}}
        others = {"steps", *SIZE_KEYS, *STEPS} - {*load_preset("derive", name).steps}
        entry["allOf"].append({"if": has_preset, "then": {"properties": dict.fromkeys(sorted(others), False)}})
    entry["dependencies"] = {"steps": {"properties": dict.fromkeys(SIZE_KEYS, False)}}
    alone, with_parameters = entry["properties"]["steps"]["items"]["anyOf"]
    alone["enum"] = [name for name in STEPS if not check_step(*read_step(name))]
    for name, rules in _STEPS.items():
        forms = with_parameters["properties"][name]["anyOf"]
        forms[-1]["allOf"] = [rules]
        forms[0] |= rules.get("properties", {}).get(STEPS[name].main, {})


def _add_layouts_of_presets(sheet: dict[str, Any]) -> None:
    """Add to the schema of a sheet that it has the layout of its preset, if it names one."""
    sheet["allOf"] = []
    for name in list_presets("sheet"):
        has_preset = {"required": ["preset"], "properties": {"preset": {"const": name}}}
        layout = {"enum": [load_preset("sheet", name).keys["layout"], None]}
        sheet["allOf"].append({"if": has_preset, "then": {"properties": {"layout": layout}}})


def _convert_keys(schema: Rules, path: str) -> dict[str, Any]:
    """Return the schema of a mapping whose keys are known."""
    required = [key for key, rules in schema.items() if rules.get("required")]
    return {
        "properties": {key: _convert(rules, f"{path}.{key}".lstrip(".")) for key, rules in schema.items()},
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _allow_null(schema: dict[str, Any]) -> dict[str, Any]:
    found = dict(schema)
    if "type" in found:
        types = found["type"]
        found["type"] = [*([types] if isinstance(types, str) else types), "null"]
    if "enum" in found:
        found["enum"] = [*found["enum"], None]
    if "anyOf" in found:
        found["anyOf"] = [*found["anyOf"], {"type": "null"}]
    return found


def _convert(rules: Rules, path: str) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for rule, constraint in rules.items():
        if rule not in _RULES:
            raise _no_counterpart(path, rule)
        said = _RULES[rule](constraint, rules, path)
        if schema.keys() & said.keys():  # the one would replace the other
            raise _no_counterpart(path, rule)
        schema |= said
    return schema


def _no_counterpart(path: str, rule: str) -> ImagegenError:
    what = f"{path}: the rule '{rule}' has no counterpart in the JSON Schema"
    return ImagegenError(Problem("", what, "report it to the author of this backend"))


_TYPES = {
    "text": "string",
    "whole": "integer",
    "number": "number",
    "mapping": "object",
    "list": "array",
    "boolean": "boolean",
}
_LENGTHS = {"text": "Length", "mapping": "Properties", "list": "Items"}


def _types(rules: Rules) -> list[str]:
    types = rules.get("type", list(_TYPES))
    return [types] if isinstance(types, str) else list(types)


def _type(_: object, rules: Rules, path: str) -> dict[str, Any]:
    types = _types(rules)
    if not set(types) <= set(_TYPES):
        raise _no_counterpart(path, f"type: {', '.join(types)}")
    names = [_TYPES[word] for word in types]
    return {"type": names if len(names) > 1 else names[0]}


def _length(bound: str) -> Callable[[int, Rules, str], dict[str, Any]]:
    return lambda length, rules, _: {f"{bound}{_LENGTHS[word]}": length for word in _types(rules) if word in _LENGTHS}


def _allowed(values: list[Any], rules: Rules, path: str) -> dict[str, Any]:
    if "list" in _types(rules):  # there it is each entry that is compared
        raise _no_counterpart(path, "allowed")
    return {"enum": list(values)}


def _forbidden(values: list[Any], rules: Rules, path: str) -> dict[str, Any]:
    if "list" in _types(rules):
        raise _no_counterpart(path, "forbidden")
    return {"not": {"enum": list(values)}}


def _regex(pattern: str, _: Rules, __: str) -> dict[str, Any]:
    """Anchor a pattern: Cerberus matches the whole text, JSON Schema any part of it."""
    return {"pattern": f"^(?:{pattern})" if pattern.endswith("$") else f"^(?:{pattern}$)"}


def _nested(schema: Rules, rules: Rules, path: str) -> dict[str, Any]:
    holders = {"mapping", "list"} & set(_types(rules))
    if len(holders) > 1:  # it would be keys for the one, and rules for the other
        raise _no_counterpart(path, "schema")
    if "mapping" not in holders:
        return {"items": _convert(schema, f"{path}[]")}
    keys = _convert_keys(schema, path)
    if rules.get("allow_unknown"):  # then that says what the other keys may hold
        del keys["additionalProperties"]
    return keys


def _anyof(alternatives: list[Rules], rules: Rules, path: str) -> dict[str, Any]:
    inherited = {"type": rules["type"]} if "type" in rules else {}
    return {"anyOf": [_convert({**inherited, **one}, path) for one in alternatives]}


_RULES: Mapping[str, Callable[[Any, Rules, str], dict[str, Any]]] = {
    "type": _type,
    "min": lambda bound, _, __: {"minimum": bound},
    "max": lambda bound, _, __: {"maximum": bound},
    "minlength": _length("min"),
    "maxlength": _length("max"),
    "allowed": _allowed,
    "forbidden": _forbidden,
    "regex": _regex,
    "blank": lambda allowed, _, __: {} if allowed else {"pattern": r"\S"},
    "unique": lambda is_unique, _, __: {"uniqueItems": is_unique},
    "schema": _nested,
    "keysrules": lambda inner, _, path: {"propertyNames": _convert(inner, path)},
    "valuesrules": lambda inner, _, path: {"additionalProperties": _convert(inner, f"{path}.*")},
    "allow_unknown": lambda inner, _, path: {"additionalProperties": _convert(inner, f"{path}.*")} if inner else {},
    "anyof": _anyof,
    "required": lambda _, __, ___: {},  # listed in the mapping that it is a key of
    "meta": lambda meta, _, __: {"description": meta["description"]} if "description" in meta else {},
}
"""For each Cerberus rule in use: JSON Schema from its constraint, the rules beside it and the path."""
