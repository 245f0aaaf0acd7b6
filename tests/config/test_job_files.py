"""What lies in jobs/: what is a job, what is named as none, and what is a copy of another one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.config.document import Document, read_document
from imagegen.config.job_files import find_job_files, find_original, find_stray_files, name_tasks, resolve_extends
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, Problem
from imagegen.project import JobPlan, Project
from tests.scripted import ScriptedBackend

__all__ = []


JOB = "items:\n  - {name: a, prompt: b}\n"


def strays(root: Path, *names: str, extended: tuple[str, ...] = ()) -> list[str]:
    for name in names:
        path = root / "jobs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(JOB, encoding="utf-8")
    return [problem.where for problem in find_stray_files(root, extended)]


@pytest.mark.parametrize(
    "name",
    [
        "Icons.YAML", "a.Json", "a.yml2", "a.ymal", "a.yaml.txt2", "a.jsonc", "a.toml", "a.yaml~", "a.yaml.orig", "a.yaml.bak", "#a.yaml#",
        "._a.yaml", ".a.yaml", "a.yaml.disabled", "Makefile", "a", "old/a.yaml", "old/a.json",
    ],
)  # fmt: skip
def test_a_file_that_is_not_built_is_named(tmp_path: Path, name: str) -> None:
    assert strays(tmp_path, name, "sound.yaml") == [f"jobs/{name}"]


@pytest.mark.parametrize(
    "name",
    [
        "a.yaml", "a.yml", "a.json", "a.lock", "_base.yaml", "kin.md", "kin.csv", "notes.txt", ".gitkeep", ".DS_Store", ".a.yaml.swp",
        "shared/_base.yaml", "wildcards/hair.txt", "_old/a.yaml",
    ],
)  # fmt: skip
def test_what_nobody_takes_for_a_job_that_is_not_built_is_not_named(tmp_path: Path, name: str) -> None:
    assert strays(tmp_path, name) == []


def test_a_folder_that_has_the_name_of_a_job_is_named(tmp_path: Path) -> None:
    assert strays(tmp_path, "a.yaml/notes.txt") == ["jobs/a.yaml"]


def test_a_file_in_a_folder_that_a_job_extends_is_not_named(tmp_path: Path) -> None:
    assert strays(tmp_path, "shared/a.yaml", extended=("jobs/shared/a.yaml",)) == []


def test_a_link_that_leads_nowhere_is_a_job_which_can_be_reported(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/a.yaml").symlink_to("nowhere")
    assert find_job_files(tmp_path) == [tmp_path / "jobs/a.yaml"]


def test_of_files_with_one_name_yaml_keeps_it(tmp_path: Path) -> None:
    files = [tmp_path / "jobs" / name for name in ("a.json", "a.yaml", "a.yml")]
    assert list(name_tasks(files, ()).values()) == ["jobs/a.json", "a", "jobs/a.yml"]


@pytest.mark.parametrize(
    "name",
    [
        "kin-DESKTOP-A1B2C3", "kin-LAPTOP-9XYZ12", "kin (Anna's conflicted copy 2026-11-01)", "kin.sync-conflict-20261101-101010-ABCDEFG",
        "kin (1)", "kin (conflicted copy 2026-11-01 101010)", "Copy of kin", "kin copy", "kin copy 2", "kin - Copy", "kin - Copy (2)",
        "kin 2", "kin-Annas-MacBook-Pro", "kin-copy", "kin_copy", "kin - Kopie",
        "kin (Konflikt 2026-11-01)", "kin [conflicted]", "kin(1)", "kin (copie)", "kin (3rd copy)", "Kopie von kin",
    ],
)  # fmt: skip
def test_a_copy_is_known_by_its_name(name: str) -> None:
    assert find_original(name, ["kin", "king", name]) == "kin"
    assert find_original("kin", ["king", name]) == ""


@pytest.mark.parametrize("name", ["kin-night", "kingdom", "kin2", "kin-v2", "my-kin", "kin-copycat"])
def test_a_job_of_a_similar_name_is_no_copy(name: str) -> None:
    assert find_original(name, ["kin", name]) == ""


def merged(job: str, **bases: str) -> Document:
    """The job jobs/j.yaml with its bases, each a file by its name."""

    def read(name: str, where: str) -> Document:
        if name.partition(".")[0] not in bases:
            raise ImagegenError(Problem(where, "there is no such file"))
        return read_document(f"jobs/{name}", bases[name.partition(".")[0]].encode())

    return resolve_extends(read_document("jobs/j.yaml", job.encode()), read)


def problems(job: str, **bases: str) -> list[tuple[str, str]]:
    with pytest.raises(ImagegenError) as caught:
        merged(job, **bases)
    return [(problem.where, problem.what) for problem in caught.value.problems]


BASE = """\
generate:
  width: 64
  seed: {mode: fixed}
items: [{name: A, prompt: a}]
matrix: {mood: {calm: serene}}
"""


def test_mappings_are_merged_and_all_else_is_the_nearer_ones() -> None:
    found = merged(
        "extends: _b.yaml\ngenerate: {steps: 3, seed: 7}\nitems: [{name: B, prompt: b}]\nmatrix: {mood: {angry: red}, size: [1]}",
        _b=BASE,
    )
    assert found.values == {
        "generate": {"width": 64, "seed": 7, "steps": 3},
        "items": [{"name": "B", "prompt": "b"}],
        "matrix": {"mood": {"calm": "serene", "angry": "red"}, "size": [1]},
    }
    assert list(found.values) == ["generate", "items", "matrix"]
    assert list(found.values["matrix"]["mood"]) == ["calm", "angry"]


def test_null_takes_out_what_a_base_has_and_is_else_left_to_the_checks() -> None:
    found = merged("extends: _b.yaml\nmatrix: null\nsheet: null\ngenerate: {width: null}", _b=BASE)
    assert found.values == {
        "generate": {"width": None, "seed": {"mode": "fixed"}},
        "items": [{"name": "A", "prompt": "a"}],
        "sheet": None,
    }
    bases = {"_a": "extends: _b.yaml\nmatrix:", "_b": BASE}
    assert "matrix" not in merged("extends: _a.yaml", **bases).values
    assert merged("extends: _a.yaml\nmatrix: {x: [1]}", **bases).values["matrix"] == {"x": [1]}
    assert merged("extends: [_b.yaml, _a.yaml]\nitems: null", **bases).values.keys() == {"generate", "matrix"}


def test_a_job_without_what_its_base_derives_is_planned(tmp_path: Path) -> None:
    base = "backend: scripted\nderive: {t: {width: 8}}\nsheet: {}\nitems: [{name: A, prompt: a}]"
    plan = planned(tmp_path, j="extends: _b.yaml\nderive: null\nsheet: null", _b=base)
    assert [output.slug for output in plan.outputs] == ["a"]


def test_null_where_no_base_has_the_key_is_told(tmp_path: Path) -> None:
    plan = planned(tmp_path, j="extends: _b.yaml\nderive: null", _b="backend: scripted\nitems: [{name: A, prompt: a}]")
    assert [(p.where, p.what) for p in plan.problems] == [
        ("jobs/j.yaml:2:1", "derive: has no value: give it one, or leave it out")
    ]


def test_a_mark_is_where_the_value_really_stands() -> None:
    found = merged("extends: _b.yaml\ngenerate:\n    steps: 3\n    seed: 7", _b=BASE)
    assert found.where(("generate", "width")) == "jobs/_b.yaml:2:3"
    assert found.where(("generate", "steps")) == "jobs/j.yaml:3:5"
    assert found.where(("generate", "seed", "mode")) == "jobs/j.yaml:4:5"
    assert found.where(("items", 0, "prompt")) == "jobs/_b.yaml:4:19"
    assert found.where(("generate",)) == "jobs/j.yaml:2:1"
    assert found.where(()) == "jobs/j.yaml:1:1"


def test_of_several_the_later_one_is_nearer_and_bases_have_bases() -> None:
    bases = {
        "_a": "variants: 1\ndescription: a\nextends: _c.yaml",
        "_b": '{"variants": 2}',
        "_c": "description: c\nbackend: c",
    }
    assert merged("extends: [_a.yaml, _b.json]", **bases).values == {"backend": "c", "description": "a", "variants": 2}
    assert merged("extends: [_b.json, _a.yaml]", **bases).values == {"backend": "c", "description": "a", "variants": 1}
    assert merged("extends: [_a.yaml, _c.yaml]", **bases).values["description"] == "c"  # one base twice is no circle


@pytest.mark.parametrize(
    ("job", "bases", "expected"),
    [
        ("extends: _a.yaml", {}, [("jobs/j.yaml:1:1", "there is no such file")]),
        ("x: 1\nextends:\n  - ./j.yaml", {}, [("jobs/j.yaml:3:5", "extends: comes back to jobs/j.yaml: jobs/j.yaml → jobs/j.yaml")]),
        ("extends: _a.yaml", {"_a": "extends: _b.yaml", "_b": "x: 1\nextends: _a.yaml"}, [("jobs/_b.yaml:2:1", "extends: comes back to jobs/_a.yaml: jobs/_a.yaml → jobs/_b.yaml → jobs/_a.yaml")]),
        ("extends: [../x.yaml, /x.yaml]", {}, [("jobs/j.yaml:1:11", "extends: '../x.yaml' leads out of jobs/"), ("jobs/j.yaml:1:22", "extends: '/x.yaml' leads out of jobs/")]),
        ("extends: a.txt", {}, [("jobs/j.yaml:1:1", "extends: 'a.txt' must end in one of .yaml, .yml, .json")]),
        ("extends: _a.yaml", {"_a": "- 1"}, [("jobs/_a.yaml:1:1", "a file that a job extends is a mapping of keys")]),
        ("extends: _a.yaml", {"_a": "extends: 5"}, [("jobs/_a.yaml:1:1", "extends: expected a file, or a list of files, their paths from jobs/")]),
        ("extends: _a.yaml", {"_a": "a: [}"}, [("jobs/_a.yaml:1:5", "} does not close the [ of line 1")]),
    ],
)  # fmt: skip
def test_what_cannot_be_extended(job: str, bases: dict[str, str], expected: list[tuple[str, str]]) -> None:
    assert problems(job, **bases) == expected


@pytest.mark.parametrize("value", ["5", "[]", "''", "[1]", "{}", "null"])
def test_what_is_no_name_is_left_to_the_checks(value: str) -> None:
    assert "extends" in merged(f"extends: {value}").values


def planned(root: Path, **files: str) -> JobPlan:
    for name, text in files.items():
        file = root / "jobs" / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_suffix(".yaml").write_text(text)
    project = Project(root, Settings(), {"scripted": ScriptedBackend})
    (plan,) = project.plans()
    assert set(project.inputs.stats) >= {f"jobs/{name.replace('__', '/')}.yaml" for name in files}
    return plan


def test_a_job_is_planned_with_its_base_which_is_watched_and_no_job(tmp_path: Path) -> None:
    plan = planned(
        tmp_path,
        j="extends: shared/b.yaml\nitems: [{name: A, prompt: a}]",
        shared__b="extends: _c.yaml\nvariants: 2",
        _c="backend: scripted",
    )
    assert [output.path for output in plan.outputs] == ["assets/j/a-v1.png", "assets/j/a-v2.png"]


def test_what_is_wrong_in_a_base_is_told_there(tmp_path: Path) -> None:
    plan = planned(tmp_path, j="extends: _b.yaml\nbackend: scripted", _b="generate:\n  steps: 0\nitemz: []")
    assert [(p.where, p.what) for p in plan.problems] == [
        ("jobs/_b.yaml:2:3", "generate.steps: 0 is too small: at least 1"),
        ("jobs/_b.yaml:3:1", "itemz: unknown key; did you mean 'items'?"),
        ("jobs/j.yaml:1:1", "no items: give 'items', or a 'source' that has them, or both"),
    ]


def test_a_base_that_is_missing_is_told_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "jobs/shared").mkdir(parents=True)
    (tmp_path / "jobs/shared/base.yaml").write_text("{}")
    (tmp_path / "jobs/j.yaml").write_text("extends: shared/bas.yaml")
    (plan,) = Project(tmp_path, Settings(), {"scripted": ScriptedBackend}).plans()
    what = "extends: jobs/shared/bas.yaml: there is no such file; did you mean 'shared/base.yaml'?"
    assert [(p.where, p.what) for p in plan.problems] == [("jobs/j.yaml:1:1", what)]


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
MAPPINGS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


def leaves(values: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if not isinstance(values, dict):
        return {path: values}
    return {key: leaf for name, inner in values.items() for key, leaf in leaves(inner, (*path, name)).items()}


def job_over(near: Any, far: Any) -> Any:
    out = {key for key, value in near.items() if value is None and key in far}
    return {key: value for key, value in over(near, far).items() if key not in out}


def over(near: Any, far: Any) -> Any:
    """The rule, said another way."""
    if isinstance(near, dict) and isinstance(far, dict):
        return {key: over(near.get(key, far.get(key)), far.get(key, near.get(key))) for key in {**far, **near}}
    return near


@given(MAPPINGS, MAPPINGS)
def test_any_two_files_merge_by_the_rule_with_every_mark_in_its_file(near: dict[str, Any], far: dict[str, Any]) -> None:
    text = json.dumps({"extends": "_b.json", **near})
    found = resolve_extends(
        read_document("jobs/j.json", text.encode()),
        lambda name, _: read_document(f"jobs/{name}", json.dumps(far).encode()),
    )
    assert found.values == job_over(near, far)
    of_near = leaves(near)
    for path in leaves(found.values):
        where = found.where(path)
        if path in of_near:
            assert where.startswith("jobs/j.json:")
        elif path[0] not in near:
            assert where.startswith("jobs/_b.json:")


@given(st.lists(MAPPINGS, min_size=1, max_size=4))
def test_a_list_is_the_chain_of_its_files(files: list[dict[str, Any]]) -> None:
    texts = {f"_{index}": json.dumps(values) for index, values in enumerate(files)}
    expected: Any = {}
    for values in files:
        expected = job_over(values, expected)
    names = json.dumps([f"{name}.json" for name in texts])
    assert merged(f"extends: {names}", **texts).values == expected
