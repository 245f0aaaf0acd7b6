"""The JSON Schema that editors use says what the checks say."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft4Validator, Draft7Validator
from jsonschema.validators import extend

from imagegen.backends.registry import registry
from imagegen.config.checking import check_job
from imagegen.config.document import Document
from imagegen.config.job import Job
from imagegen.config.json_schema import build_json_schema
from imagegen.config.presets import list_presets
from imagegen.config.schema import job_schema
from imagegen.config.steps import STEPS, steps_schema
from imagegen.errors import ImagegenError, Problem
from imagegen.plan.origins import plan_derived
from tests.config.job_documents import KEYS, drawn, edges, job_documents, places, spoilt

SECTIONS: dict[str, Any] = {name: make().options for name, make in registry().items()}
SCHEMA = build_json_schema(SECTIONS, {})
# of the drafts, the fourth alone takes 64.0 for no whole number, as our checks do
VALIDATOR = extend(Draft7Validator, type_checker=Draft4Validator.TYPE_CHECKER)(SCHEMA)  # type: ignore[no-untyped-call]  # jsonschema's

GOOD: dict[str, Any] = {"items": [{"name": "A", "prompt": "a"}]}
EVERYTHING: dict[str, Any] = {
    "extends": ["_base.yaml", "shared/size.json"],
    "description": "d",
    "backend": "placeholder",
    "generate": {
        "width": 64,
        "height": 64,
        "steps": 20,
        "cfg": 7.5,
        "sampler": "euler",
        "scheduler": "normal",
        "clip_skip": 2,
        "negative": "",
        "timeout_s": 9.5,
        "seed": {"mode": "fixed", "base": 0},
    },
    "prompt": {"prefix": "p", "suffix": "s"},
    "source": "docs/prompts.md",
    "items": [{"name": "A", "prompt": "a", "steps": 3, "cfg": 1, "seed": 7}],
    "matrix": {"mood": {"calm": "serene", "old": 3}, "steps": [20, 4.5, "x"]},
    "variants": 2,
    "output": {"dir": "d", "name": "n", "format": "webp", "quality": 9, "overwrite": "own", "metadata": "none"},
    "derive": {
        "thumb": {
            "width": 16,
            "height": 16,
            "crop": "top",
            "format": "webp",
            "quality": 80,
            "only": {"mood": ["calm"], "steps": 20},
        }
    },
    "sheet": {"columns": 2, "cell": 64},
    "placeholder": {},
    "comfyui": {"checkpoint": "c"},
    "ollama": {"model": "m"},
    "scripted": {"script": "s", "model": "m"},
}


def checked(values: Any) -> Job:
    return check_job("j", Document("jobs/j.json", values, {}), SECTIONS)


def is_job(values: Any) -> bool:
    """As if it extended a file that has all that the job takes out, and what its derived files lack."""
    extends = isinstance(values, dict) and "extends" in values
    if extends:
        known = job_schema(SECTIONS).keys() - {"extends"}
        values = {key: value for key, value in values.items() if key not in known or value is not None}
    try:
        job = checked(values)
    except ImagegenError as error:
        return extends and all("belongs under steps, or beside a preset" in one.what for one in error.problems)
    _, problems = plan_derived(job, [], defaultdict(str), {})
    needs = "needs a width and a height to cut to"
    return all(is_beyond_a_schema(job, one) or (extends and needs in one.what) for one in problems)


def is_beyond_a_schema(job: Job, problem: Problem) -> bool:
    """Whether JSON Schema cannot say it: see its docstring. Transparency depends on the images' format besides."""
    is_preset_s = any(f"{'.'.join(problem.what.split('.')[:2])}.preset" == key for key in job.where)
    is_size = "has no effect beside" in problem.what
    return (is_preset_s and not is_size) or "is not a colour" in problem.what or "no transparency" in problem.what


def test_it_is_a_json_schema() -> None:
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "entry",
    [
        {"trim": 0},
        {"preset": "token-foundry", "mask": "rounded"},
        {"preset": "token-foundry", "trim": 0},
        {"preset": "token-foundry", "steps": ["trim"]},
        {"steps": ["trim", {"mask": "circle"}]},
        {"steps": [{"mask": "circle", "trim": 0}]},
        {"steps": [{"mask": "triangle"}]},
        *({"steps": [{"mask": {**mask, "margin": 1}}]} for mask in ({"shape": "circle"}, {"image": "a.png"})),
        {"steps": [{"outline": {"colour": "#12345"}}]},
        {"steps": [{"quantise": 16}, {"quantise": "art/p.gpl"}, "background"]},
        *({"steps": [{"rotate": angle}]} for angle in (0, 360.0, -360, 90, {"angle": 0}, {"angle": 1}, False)),
        *({"steps": [{"background": colour}]} for colour in ("#fff", "#fff8", {"colour": "#ffffff80"})),
        {"preset": "sticker", "shadow": False},
        {"preset": "sticker", "shadow": True},
        {"steps": [{"shadow": False}]},
        {"steps": ["trim"], "width": 5},
        {"preset": "token-foundry", "width": 5},
        {"width": 5, "height": 5, "crop": "top"},
        *({"steps": [step]} for step in STEPS),
        *({"steps": [{step: {}}]} for step in STEPS),
    ],
    ids=str,
)
def test_both_give_one_verdict_on_steps_and_presets(entry: Any) -> None:
    values = {**GOOD, "derive": {"token": entry}}
    assert VALIDATOR.is_valid(values) == is_job(values)


def test_both_give_one_verdict_on_any_step() -> None:
    verdicts: Counter[bool] = Counter()

    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(drawn(steps_schema()))
    def agree(steps: Any) -> None:
        values = {**GOOD, "derive": {"token": {"steps": steps}}}
        verdict = is_job(values)
        verdicts[verdict] += 1
        assert VALIDATOR.is_valid(values) == verdict

    agree()
    assert set(verdicts) == {True, False}


@pytest.mark.parametrize("index", ["godot", ["godot"], ["godot", "css"], ["godot", "godot"], [], ""])
def test_both_give_one_verdict_on_indexes(index: Any) -> None:
    values = {**GOOD, "sheet": {"index": index}}
    assert VALIDATOR.is_valid(values) == is_job(values) == (index in ("godot", ["godot"], ["godot", "css"]))


@pytest.mark.parametrize("preset", list_presets("sheet"))
@pytest.mark.parametrize("layout", ["grid", "packed"])
def test_both_give_one_verdict_on_the_layout_beside_a_preset(preset: str, layout: str) -> None:
    values = {**GOOD, "sheet": {"preset": preset, "layout": layout}}
    assert VALIDATOR.is_valid(values) == is_job(values)


def test_what_a_base_may_have_is_for_the_checks_alone() -> None:
    for entry in ({"frame": "art/ring.png"}, {"crop": "top"}):
        assert VALIDATOR.is_valid({"extends": "_base.json", "derive": {"token": entry}})
        assert not VALIDATOR.is_valid({**GOOD, "derive": {"token": entry}})


def test_both_give_one_verdict_on_any_document() -> None:
    verdicts: Counter[bool] = Counter()

    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(job_documents(SECTIONS))
    def agree(values: Any) -> None:
        verdict = is_job(values)
        verdicts[verdict] += 1
        assert VALIDATOR.is_valid(values) == verdict

    agree()
    assert set(verdicts) == {True, False}


@pytest.mark.long
def test_both_give_one_verdict_on_every_key_at_every_bound() -> None:
    assert is_job(EVERYTHING)
    assert set(EVERYTHING) - set(SECTIONS) == set(job_schema({}))
    verdicts: Counter[bool] = Counter()
    changes = [("replace", wrong, "") for wrong in edges(job_schema(SECTIONS))]
    changes += [("remove", None, ""), *(("rename", None, key) for key in KEYS)]
    for path, change in itertools.product(places(EVERYTHING), changes):
        values = spoilt({**GOOD, path[0]: EVERYTHING[path[0]]}, path, *change)
        verdict = is_job(values)
        verdicts[verdict] += 1
        assert VALIDATOR.is_valid(values) == verdict, (path, change)
    assert min(verdicts[True], verdicts[False]) >= 300


@pytest.mark.parametrize(
    "values", [[], None, "x", {}, {"description": "x"}, {"items": []}, {"source": "x.md"}, {"extends": "x.yaml"}, GOOD]
)
def test_a_job_is_a_mapping_with_items_or_a_source_or_a_base_that_may_have_them(values: Any) -> None:
    assert VALIDATOR.is_valid(values) == is_job(values) == (values in ({"source": "x.md"}, {"extends": "x.yaml"}, GOOD))


@pytest.mark.parametrize("key", ["derive", "backend", "source", "items", "scripted", "extends"])
def test_null_is_for_a_job_that_extends(key: str) -> None:
    assert VALIDATOR.is_valid({"extends": "x.yaml", key: None}) == (key != "extends")
    assert not VALIDATOR.is_valid({**GOOD, key: None})


def test_a_base_needs_no_items_and_is_else_checked_as_a_job() -> None:
    of_base = Draft7Validator(build_json_schema(SECTIONS, {}, of_base=True))
    good: list[Any] = [{}, {"variants": 2}, {"extends": "_b.yaml"}, GOOD]
    bad: list[Any] = [[], {"variants": 0}, {"x": 1}, {"extends": []}]
    assert [values for values in good + bad if of_base.is_valid(values)] == good


def test_the_one_difference_is_a_whole_number_written_as_a_decimal() -> None:
    values = {**GOOD, "generate": {"width": 64.0}}
    assert Draft7Validator(SCHEMA).is_valid(values)
    assert not is_job(values)


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for key, found in schema.get("properties", {}).items():
        yield f"{path}{key}", found
        yield from nodes(found, f"{path}{key}.")
        yield from nodes(found.get("items", {}), f"{path}{key}[].")


def test_every_key_is_described() -> None:
    assert [path for path, found in nodes(SCHEMA) if not found.get("description")] == []


def test_the_defaults_are_those_of_the_checks() -> None:
    spelt: dict[str, Any] = {}
    for path, found in nodes(SCHEMA):
        if "default" in found:
            holder = spelt
            for key in path.split(".")[:-1]:
                holder = holder.setdefault(key, {})
            holder[path.split(".")[-1]] = found["default"]
    assert spelt["generate"].pop("timeout_s") == 600  # a job says only what its file says
    assert spelt.pop("generate") == {"seed": {"mode": "by-name", "base": 1}}
    left_out, given_all = checked(GOOD), checked({**GOOD, **spelt})
    assert vars(given_all) | {"where": {}} == vars(left_out) | {"where": {}}
    assert set(spelt) == {"variants", "output"}


def test_other_defaults_are_told_at_their_key() -> None:
    schema = build_json_schema(SECTIONS, {("generate", "width"): 1024, ("ollama", "model"): "m"})
    assert schema["properties"]["generate"]["properties"]["width"]["default"] == 1024
    assert schema["properties"]["ollama"]["properties"]["model"]["default"] == "m"
    assert "default" not in schema["properties"]["items"]["anyOf"][0]["items"]["properties"]["width"]


@pytest.mark.parametrize(
    ("rules", "rule"),
    [
        ({"type": "text", "check_with": "path"}, "check_with"),
        ({"type": "text", "nullable": True}, "nullable"),
        ({"type": "string"}, "type: string"),
        ({"type": "list", "allowed": ["a"]}, "allowed"),
        ({"type": "list", "forbidden": ["a"]}, "forbidden"),
        ({"type": ["list", "mapping"], "schema": {}}, "schema"),
        ({"type": "text", "regex": "a", "blank": False}, "blank"),
        ({"type": "mapping", "schema": {}, "valuesrules": {"type": "text"}}, "valuesrules"),
    ],
)
def test_a_rule_that_cannot_be_told_is_an_error(rules: dict[str, Any], rule: str) -> None:
    with pytest.raises(ImagegenError, match=f"mine.key: the rule '{rule}' has no counterpart"):
        build_json_schema({"mine": {"key": rules}}, {})


@pytest.mark.parametrize("regex", ["a|bc", "^a|bc$", "ab", "^abc$", r"a\$"])
@pytest.mark.parametrize("text", ["a", "ab", "abc", "bc", "xbc", "bcx", "a$", "a$x"])
def test_a_pattern_is_anchored_as_cerberus_does_it(regex: str, text: str) -> None:
    sections = {"mine": {"key": {"type": "text", "regex": regex}}}
    values = {**GOOD, "mine": {"key": text}}
    try:
        check_job("j", Document("jobs/j.json", values, {}), sections)
        verdict = True
    except ImagegenError:
        verdict = False
    assert Draft7Validator(build_json_schema(sections, {})).is_valid(values) == verdict


def test_alternatives_have_the_type_that_stands_beside_them() -> None:
    rules = {"type": "text", "anyof": [{"minlength": 3}, {"allowed": ["a"]}]}
    validator = Draft7Validator(build_json_schema({"mine": {"key": rules}}, {}))
    verdicts = [validator.is_valid({**GOOD, "mine": {"key": value}}) for value in ("abc", "a", "b", 5)]
    assert verdicts == [True, True, False, False]
