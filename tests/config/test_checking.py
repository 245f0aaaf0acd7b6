"""A known key in the wrong place is told where it belongs: for every key of the schema."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml

from imagegen.config.checking import check_job
from imagegen.config.document import Document, read_document
from imagegen.config.grammar import get_grammar
from imagegen.config.job import DEFAULT_QUALITY, FORMATS, Encoding, Job, SeedRule
from imagegen.config.key_locations import KeyLocations
from imagegen.config.schema import COMMON, Sections, job_schema
from imagegen.errors import ImagegenError

__all__ = []


SECTIONS: dict[str, dict[str, Any]] = {"placeholder": {}, "comfyui": {"checkpoint": {"type": "text"}}}
GOOD: dict[str, Any] = {"items": [{"name": "A", "prompt": "a"}]}


def check(text: str) -> Job:
    return check_job("j", read_document("jobs/j.yaml", text.encode()), SECTIONS)


def problems(**changes: Any) -> list[str]:
    text = yaml.safe_dump(GOOD | changes, sort_keys=False)
    with pytest.raises(ImagegenError) as caught:
        check(text)
    return [problem.what for problem in caught.value.problems]


def test_defaults_are_in_place() -> None:
    job = check("items: [{name: A, prompt: a}]")
    assert (job.seed, job.variants, job.backend) == (SeedRule("by-name", 1), 1, None)
    assert job.output.folder == "assets/j"
    assert job.output.encoding == Encoding("png", 100, "full")
    assert job.output.overwrite == "own"


def test_what_is_wrong_with_derived_files_is_told_with_what_would_be_right() -> None:
    assert problems(derive={"Thumb": {}}) == [
        "derive.Thumb: 'Thumb' is not a valid name here: lower-case letters and digits, with single hyphens between them"
    ]
    assert sorted(problems(derive={"thumb": {"widht": 5, "crop": "center", "width": 0}})) == [
        "derive.thumb.crop: 'center' is not one of centre, top, bottom, left, right, top-left, top-right, bottom-left, "
        "bottom-right; did you mean 'centre'?",
        "derive.thumb.widht: unknown key; did you mean 'width'?",
        "derive.thumb.width: 0 is too small: at least 1",
    ]
    assert problems(sheet={"cells": 5}) == ["sheet.cells: unknown key; did you mean 'cell'?"]


def test_quality_means_nothing_to_png_and_has_a_default_elsewhere() -> None:
    assert check("items: [{name: A, prompt: a}]\noutput: {quality: 3}").output.encoding.quality == 100
    found = check("items: [{name: A, prompt: a}]\noutput: {format: webp}").output.encoding
    assert found.quality == DEFAULT_QUALITY["webp"]


def test_the_schema_knows_the_formats_that_can_be_encoded() -> None:
    assert set(job_schema({})["output"]["schema"]["format"]["allowed"]) == set(FORMATS)


def test_a_bare_seed_is_the_base_of_seeds_by_name() -> None:
    assert check("items: [{name: A, prompt: a}]\ngenerate: {seed: 9}").seed == SeedRule("by-name", 9)


@pytest.mark.parametrize("field", [name for name, rules in COMMON.items() if rules["type"] == "number"])
def test_whole_and_decimal_numbers_of_a_field_are_one(field: str) -> None:
    for whole in (
        check(f"items: [{{name: A, prompt: a, {field}: 7}}]").items[0].overrides,
        check(f"generate: {{{field}: 7}}\nitems: [{{name: A, prompt: a}}]").generate,
    ):
        assert whole == {field: 7.0}
        assert isinstance(whole[field], float)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"generate": {"stepz": 1}}, "generate.stepz: unknown key; did you mean 'steps'?"),
        ({"derive": {"a": {"steps": [{"trim": {"pad": 3}}]}}}, "derive.a.steps[0].trim.pad: unknown key; did you mean 'padding'?"),
        ({"sheet": {"index": "a\nb"}}, "sheet.index: 'a\\nb' is not one of texturepacker, texturepacker-array, phaser, libgdx, godot, unity, css"),
        ({"sheet": {"index": ["css", "godot", "css"]}}, "sheet.index: 'css' is given twice"),
        ({"itemz": []}, "itemz: unknown key; did you mean 'items'?"),
        ({"script": "rm -rf"}, "script: unknown key; did you mean 'description'?"),
        ({"generate": {"width": True}}, "generate.width: expected a whole number, found true"),
        ({"generate": {"width": 64.0}}, "generate.width: expected a whole number, found the number 64.0"),
        ({"generate": {"width": "64"}}, "generate.width: expected a whole number, found the text '64'"),
        ({"generate": {"width": 15}}, "generate.width: 15 is too small: at least 16"),
        ({"generate": {"height": 8193}}, "generate.height: 8193 is too large: at most 8192"),
        ({"generate": {"cfg": float("nan")}}, "generate.cfg: expected a number, found .nan, which YAML may read as not a number; write a plain decimal number"),
        ({"generate": {"cfg": float("inf")}}, "generate.cfg: expected a number, found .inf, which YAML may read as infinity; write a plain decimal number"),
        ({"generate": {"seed": -1}}, "generate.seed: -1 is not a seed; for a random one, write seed: {mode: random}"),
        (
            {"generate": {"seed": "random"}},
            "generate.seed: random is not a seed; for a random one, write seed: {mode: random}",
        ),
        (
            {"items": [{"name": "A", "prompt": "a", "seed": -1}]},
            "items[0].seed: -1 is not a seed; for a random one, leave it out here and write "
            "generate: {seed: {mode: random}} in a job",
        ),
        ({"generate": {"seed": -2}}, "generate.seed: -2 is too small: at least 0"),
        ({"generate": {"seed": 2**64}}, f"generate.seed: {2**64} is too large: at most {2**64 - 1}"),
        ({"generate": {"seed": "x"}}, "generate.seed: expected a whole number or a mapping, found the text 'x'"),
        ({"generate": {"seed": {"mode": "randm"}}}, "generate.seed.mode: 'randm' is not one of by-name, sequence, fixed, random; did you mean 'random'?"),
        ({"generate": {"timeout_s": 0}}, "generate.timeout_s: 0 is too small: at least 0.01"),
        ({"description": 5}, "description: expected text, found the number 5"),
        ({"description": None}, "description: has no value: give it one, or leave it out"),
        ({"backend": "comfy"}, "backend: 'comfy' is not one of comfyui, placeholder; did you mean 'comfyui'?"),
        ({"comfyui": {"checkpoints": "x"}}, "comfyui.checkpoints: unknown key; did you mean 'checkpoint'?"),
        ({"ollama": {"model": "x"}}, "ollama: unknown key"),
        ({"variants": 0}, "variants: 0 is too small: at least 1"),
        ({"matrix": {"mood": []}}, "matrix.mood: is empty"),
        ({"matrix": {"mood": "calm"}}, "matrix.mood: expected a list or a mapping, found the text 'calm'"),
        ({"matrix": {"mood": [True]}}, "matrix.mood[0]: expected text or a number, found true; put it in quotes"),
        ({"matrix": {"mood": {"calm": ["x"]}}}, "matrix.mood.calm: expected text or a number, found a list"),
        ({"matrix": {"Mood": ["x"]}}, "matrix.Mood: 'Mood' is not a valid name of an axis: lower-case letters, digits and _, a letter first"),
        ({"matrix": {"slug": ["x"]}}, "matrix.slug: the name 'slug' is taken: choose another"),
        ({"matrix": {"include": ["x"]}}, "matrix.include[0]: expected a mapping, found the text 'x'"),
        ({"matrix": {"include": {"mood": "x"}}}, "matrix.include: expected a list, found a mapping"),
        ({"matrix": {"include": []}}, "matrix.include: is empty"),
        ({"matrix": {"include": [{"mood": True}]}}, "matrix.include[0].mood: expected text or a number or a mapping, found true; put it in quotes"),
        ({"matrix": {"include": [{"mood": {"a": "x", "b": "y"}}]}}, "matrix.include[0].mood: has 2 keys, at most 1: make each an entry of its own"),
        ({"matrix": {"include": [{"mood": {"a": ["x"]}}]}}, "matrix.include[0].mood.a: expected text or a number, found a list"),
        ({"matrix": {"exclude": [{"mood": {"a": "x"}}]}}, "matrix.exclude[0].mood: expected text or a number, found a mapping"),
        ({"matrix": {"exclude": [{}]}}, "matrix.exclude[0]: is empty"),
        ({"output": {"format": "jpg"}}, "output.format: 'jpg' is not one of png, webp, jpeg, avif; did you mean 'jpeg'?"),
        ({"output": {"overwrite": "yes"}}, "output.overwrite: 'yes' is not one of own, never, always"),
        ({"items": []}, "items: is empty"),
        ({"items": {}}, "items.folder: is missing"),
        ({"items": [{"name": "A"}]}, "items[0].prompt: is missing"),
        ({"items": [{"name": "A", "prompt": " \n "}]}, "items[0].prompt: has nothing in it but white space"),
        ({"items": ["A"]}, "items[0]: expected a mapping, found the text 'A'"),
        ({"items": [{"name": "x" * 201, "prompt": "a"}]}, "items[0].name: is too long: 201 characters, at most 200"),
    ],
)  # fmt: skip
def test_what_a_job_must_not_say(changes: dict[str, Any], expected: str) -> None:
    assert expected in problems(**changes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("items: [{name: no, prompt: a}]", "items[0].name: expected text, found no, which YAML may read as false; put it in quotes"),
        ("items: [{name: A, prompt: 12:30}]", "items[0].prompt: expected text, found 12:30, which YAML may read as 750; put it in quotes"),
        ("items: [{name: A, prompt: a, steps: 012}]", "items[0].steps: expected a whole number, found 012, which YAML may read as 10; write a plain decimal number"),
        ("output: {overwrite: yes}\nitems: [{name: A, prompt: a}]", "output.overwrite: 'yes' is not one of own, never, always"),
        ("output: {overwrite: true}\nitems: [{name: A, prompt: a}]", "output.overwrite: 'true' is not one of own, never, always"),
        ("[1, 2]", "a job file is a mapping of keys, found a list"),
        ("description: x", "no items: give 'items', or a 'source' that has them, or both"),
    ],
)  # fmt: skip
def test_what_yaml_makes_unclear(text: str, expected: str) -> None:
    with pytest.raises(ImagegenError) as caught:
        check(text)
    assert [problem.what for problem in caught.value.problems] == [expected]


def test_every_problem_is_told_at_once_and_in_its_place() -> None:
    with pytest.raises(ImagegenError) as caught:
        check("generate:\n  stepz: 1\n  cfg: x\nitems:\n  - name: A\n    prompt: a\n    wdth: 3\n")
    where = sorted(problem.where for problem in caught.value.problems)
    assert where == ["jobs/j.yaml:2:3", "jobs/j.yaml:3:3", "jobs/j.yaml:7:5"]


BACKENDS: dict[str, Any] = {
    "comfyui": {
        "checkpoint": {"type": "text"},
        "server": {"type": "mapping", "schema": {"url": {"type": "text"}}},
    }
}
PLACES = KeyLocations(job_schema(BACKENDS))


def hint(path: tuple[str | int, ...], value: object = None) -> str:
    return PLACES.hint(path, value, ["sheet", "items"])


@pytest.mark.parametrize("key", [*COMMON, "seed"])
def test_every_field_of_generate_is_told_so_at_the_top(key: str) -> None:
    assert hint((key,)) == "; it belongs under generate:"
    assert hint(("items", 0, "comfyui", key)) == "; it belongs in the item itself"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("checkpoint",), "a", "; it belongs under comfyui:"),
        (("generate", "checkpoint"), "a", "; it belongs under comfyui:"),
        (("items", 3, "checkpoint"), "a", "; it belongs under comfyui: in the item"),
        (("comfyui", "url"), "a", "; it belongs under comfyui: server:"),
        (("dir",), "a", "; it belongs under output:, under derive: NAME: or under sheet:"),
        (("name",), "a", "; it belongs under output:, under derive: NAME:, under sheet: or in an item"),
        (("generate", "prompt"), "a", "; it belongs in an item"),
        (("generate", "prompt"), {}, "; it belongs at the top of the job"),
        (("items", 0, "variants"), 2, "; it belongs at the top of the job"),
        (("prefix",), "a", "; it belongs under prompt:"),
        (("mode",), "a", "; it belongs under generate: seed:"),
        (("item",), [], "; did you mean 'items'?"),
        (("stpes",), 3, "; did you mean 'steps', which belongs under generate:?"),
        (("batch_count",), 3, ""),
    ],
)
def test_a_known_key_is_told_where_it_belongs(path: tuple[str | int, ...], value: object, message: str) -> None:
    assert hint(path, value) == message


@pytest.mark.parametrize(
    ("key", "field"), [("cfg_scale", "cfg"), ("sampler_name", "sampler"), ("Negative_Prompt", "negative")]
)
def test_a_key_of_another_program_is_told_ours(key: str, field: str) -> None:
    assert PLACES.hint(("generate", key), "a", list(COMMON)) == f"; did you mean '{field}'?"


def test_what_is_in_a_value_of_the_wrong_type_is_told_where_it_belongs() -> None:
    assert PLACES.hint_inside(("source",), {"items": []}) == "; 'items' belongs at the top of the job"
    assert PLACES.hint_inside(("derive", "width"), 64) == "; as it is, 'width' belongs under derive: NAME:"
    assert PLACES.hint_inside(("prompt",), "a raven") == "; as it is, 'prompt' belongs in an item"
    assert PLACES.hint_inside(("generate", "width"), True) == ""


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"derive": {"a": {"steps": [{"outline": {"colour": "ff0000"}}]}}}, "did you mean '#ff0000'?"),
        ({"derive": {"a": {"steps": [{"quantise": "sixteen"}]}}}, "a number of colours is written in digits"),
        ({"derive": {"a": {"steps": [{"resize": 512}]}}}, "write resize: {width: 512}"),
        ({"derive": {"a": "Token-Foundry"}}, "write {preset: token-foundry}"),
        ({"derive": {"a": {"format": "WebP"}}}, "did you mean 'webp'?"),
        ({"sheet": "sprites-css"}, "write {preset: sprites-css}"),
        ({"sheet": [{}]}, "a job has one sheet; for another one of the same images, write a job that extends this one"),
    ],
)
def test_what_was_meant_by_a_short_form_is_said(values: dict[str, Any], said: str) -> None:
    document = Document("jobs/a.yaml", {"items": [{"name": "A", "prompt": "a"}], **values}, {})
    with pytest.raises(ImagegenError) as caught:
        check_job("a", document, {})
    (problem,) = caught.value.problems
    assert said in f"{problem.what} {problem.hint}"


def test_each_thread_has_a_grammar_of_its_own() -> None:
    sections: Sections = {}
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(get_grammar, sections).result() is not get_grammar(sections)
    assert get_grammar(sections) is get_grammar(sections)
