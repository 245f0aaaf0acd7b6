"""The tables of docs/jobs.md and docs/sheets.md against the schema: every key, with its type, range and default, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from imagegen.backends.registry import registry
from imagegen.config.checking import check_job
from imagegen.config.document import read_document
from imagegen.config.job import DEFAULT_QUALITY, DEFAULT_TIMEOUT_S
from imagegen.config.schema import AXIS_FIELDS, SHEET_KEYS, job_schema
from imagegen.plan.request import Request
from tests.docs.pages import table

BACKENDS = {name: make() for name, make in registry().items() if name != "scripted"}
SECTIONS = {name: backend.options for name, backend in BACKENDS.items()}
JOB = check_job("NAME", read_document("jobs/NAME.yaml", b"items: [{name: Yrr, prompt: a small figure}]"), SECTIONS)
SHEET = check_job(
    "NAME", read_document("jobs/NAME.yaml", b"{items: [{name: Yrr, prompt: a}], sheet: {}}"), SECTIONS
).sheet
assert SHEET is not None
REQUEST = Request("placeholder", "Yrr", "a small figure")
DEFAULTS: dict[str, Any] = {
    **{f"generate.{key}": getattr(REQUEST, key) for key in AXIS_FIELDS},
    "generate.seed": {"mode": JOB.seed.mode, "base": JOB.seed.base},
    "generate.timeout_s": DEFAULT_TIMEOUT_S,
    "variants": JOB.variants,
    "output.dir": JOB.output.folder,
    "output.name": JOB.output.name,
    "output.case": JOB.output.case,
    "output.separator": JOB.output.separator,
    "output.format": JOB.output.encoding.format,
    "output.overwrite": JOB.output.overwrite,
    "output.metadata": JOB.output.encoding.metadata,
    **{f"sheet.{key}": getattr(SHEET, key) for key in ("layout", "name", "fps", "cell", *SHEET_KEYS["packed"])},
    "sheet.format": SHEET.encoding.format,
    **{f"{name}.{b.model_option}": b.default_model for name, b in BACKENDS.items() if b.default_model},
}
IN_WORDS = {
    "backend": "the project's setting",
    **dict.fromkeys(
        ("output.quality", "sheet.quality"), ", ".join(f"{k} {q}" for k, q in DEFAULT_QUALITY.items() if k != "png")
    ),
}


def keys(schema: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every key with its rules, as `output.dir`; a mapping itself only where its keys are not all fixed."""
    for key, rules in schema.items():
        fixed = rules.get("schema") if rules.get("type") == "mapping" else None
        if not fixed or "allow_unknown" in rules:
            yield f"{before}{key}", rules
        for alternative in [rules, *rules.get("anyof", ())]:
            if alternative.get("type") == "mapping":
                yield from keys(alternative.get("schema", {}), f"{before}{key}.")


def rows() -> Iterator[tuple[str, list[str]]]:
    for first, *rest in [*table("docs/jobs.md", "key"), *table("docs/sheets.md", "key")]:
        for key in re.findall(r"`([^`]+)`", first):
            yield key, rest


SCHEMA = dict(keys(job_schema(SECTIONS)))
ROWS = dict(rows())


def documented_type(key: str, rules: Mapping[str, Any]) -> str:
    if key == "generate.seed":
        assert (rules["min"], rules["max"]) == (0, 2**64 - 1)
        return "whole, 0 … 2^64−1, or `{mode, base}`"
    if "allowed" in rules and key != "backend":
        return ", ".join(f"`{word}`" for word in rules["allowed"])
    if "min" in rules:
        return f"{rules['type']}, {rules['min']} … {rules['max']}"
    kinds = rules.get("type") or [alternative["type"] for alternative in rules["anyof"]]
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


def test_every_key_is_in_the_table_once_and_nothing_else_is() -> None:
    listed = [key for key, _ in rows()]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(SCHEMA)


@pytest.mark.parametrize("key", SCHEMA)
def test_its_type_and_range_are_those_of_the_schema(key: str) -> None:
    assert ROWS[key][0] == documented_type(key, SCHEMA[key])


@pytest.mark.parametrize("key", SCHEMA)
def test_its_default_is_the_one_that_holds(key: str) -> None:
    default = ROWS[key][1]
    if key in IN_WORDS:
        assert default == IN_WORDS[key]
    elif key in ("output.name", "sheet.name"):
        assert default == f"`{DEFAULTS[key]}`"
    else:
        assert yaml.safe_load(default.replace("`", "")) == DEFAULTS.get(key)


def test_every_backend_is_named() -> None:
    assert set(re.findall(r"`([^`]+)`", ROWS["backend"][2])) == set(BACKENDS)
