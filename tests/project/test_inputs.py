from __future__ import annotations

import contextlib
import os
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from imagegen.backends.registry import registry
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError
from imagegen.project import Project
from imagegen.project.inputs import Inputs
from imagegen.state.hashes import NEVER

EXTRA = "tools/ComfyUI/extra_model_paths.yaml"


@pytest.mark.parametrize("is_there", [True, False])
def test_the_file_that_says_where_models_are_is_watched(tmp_path: Path, is_there: bool) -> None:
    root, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    for folder in (root / "jobs", root / "tools", elsewhere):
        folder.mkdir(parents=True)
    (root / "jobs/j.yaml").write_text("backend: comfyui\nitems: [{name: A, prompt: a}]")
    (root / "tools/ComfyUI").symlink_to(elsewhere)  # as many have it
    if is_there:
        (elsewhere / "extra_model_paths.yaml").write_text("mine: {checkpoints: x}")
    project = Project(root, Settings(), registry())
    assert not project.plans()[0].problems
    assert (project.inputs.stats[EXTRA] is not None) == is_there


def test_a_file_that_another_one_names_is_told_from_a_job_of_which_only_its_own_outputs_follow(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    for name in ("kin", "etch", "arms"):
        (tmp_path / f"jobs/{name}.yaml").write_text("items: [{name: A, prompt: a}]")
    (tmp_path / "jobs/etch.yaml").write_text("extends: ./kin.yaml")
    project = Project(tmp_path, Settings(), registry())
    assert not any(plan.problems for plan in project.plans())
    assert project.inputs.named == {"jobs/kin.yaml"}
    project.inputs.read_for_section("jobs/arms.yaml")  # as a reference image, if somebody likes
    assert project.inputs.named == {"jobs/kin.yaml", "jobs/arms.yaml"}


OLD = time.time_ns() - 10**12


def put(path: Path, text: str, mtime_ns: int = OLD) -> None:
    path.write_text(text)
    os.utime(path, ns=(mtime_ns, mtime_ns))


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        (lambda _: None, True),
        (lambda file: put(file, "something else"), False),
        (lambda file: put(file, "anything", OLD + 1), False),
        (lambda file: file.unlink(), False),
    ],
)
def test_a_file_that_was_read_twice_stands_as_it_did_only_where_it_is_the_same(
    tmp_path: Path, change: Callable[[Path], object], is_same: bool
) -> None:
    """What was planned from the first reading must not be taken for what the second one says, or a later one."""
    put(tmp_path / "page.md", "anything")
    inputs = Inputs(tmp_path, ())
    inputs.read("page.md")
    change(tmp_path / "page.md")
    for _ in range(2):
        with contextlib.suppress(ImagegenError):
            inputs.read("page.md")
        assert (inputs.stats["page.md"] is not NEVER) == is_same


def test_a_file_that_appears_is_another_one_than_none(tmp_path: Path) -> None:
    inputs = Inputs(tmp_path, ())
    with pytest.raises(ImagegenError, match="there is no such file"):
        inputs.read("page.md")
    put(tmp_path / "page.md", "anything")
    inputs.read("page.md")
    assert inputs.stats["page.md"] is NEVER


def test_a_file_that_can_change_without_its_time_telling_is_not_known(tmp_path: Path) -> None:
    """Its file system may keep whole seconds only."""
    inputs = Inputs(tmp_path, ())
    put(tmp_path / "page.md", "anything", time.time_ns() // 10**9 * 10**9)
    inputs.read("page.md")
    assert inputs.stats["page.md"] is NEVER


@pytest.mark.parametrize(("written", "on_disk"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_name_is_found_however_its_letters_are_composed(
    tmp_path: Path, written: Literal["NFC", "NFD"], on_disk: Literal["NFC", "NFD"]
) -> None:
    folder = tmp_path / unicodedata.normalize(on_disk, "frühe")
    folder.mkdir()
    (folder / unicodedata.normalize(on_disk, "café.md")).write_text("## A")
    inputs = Inputs(tmp_path, ())
    name = unicodedata.normalize(written, "frühe/café.md")
    assert inputs.read_source(name, "j.yaml:1:1") == b"## A"
    assert len(inputs.stats) == 2  # that none is there by its own name is known too
    with pytest.raises(ImagegenError, match="there is no such file"):
        inputs.read_source(name.replace("caf", "cav"), "j.yaml:1:1")


def test_a_link_with_such_a_name_that_leads_nowhere_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "café.md").symlink_to("nowhere")
    with pytest.raises(ImagegenError, match="there is no such file"):
        Inputs(tmp_path, ()).read_source("café.md", "j.yaml:1:1")


@pytest.mark.parametrize(("source", "there"), [("kin.csv", "Kin.csv"), ("docs/kin.md", "docs/kins.md")])
def test_a_source_that_is_not_there_is_told_the_near_one_in_its_folder(tmp_path: Path, source: str, there: str) -> None:
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("")
    with pytest.raises(ImagegenError, match=rf"there is no such file; did you mean '{Path(there).name}'\?"):
        Inputs(tmp_path, ()).read_source(source, "jobs/a.yaml:1:1")


def test_a_file_that_only_has_the_same_suffix_is_not_suggested(tmp_path: Path) -> None:
    (tmp_path / "icons.yaml").write_text("")
    with pytest.raises(ImagegenError, match=r"there is no such file\n    put it there, .*: git restore foo.yaml$"):
        Inputs(tmp_path, ()).read_source("foo.yaml", "jobs/a.yaml:1:1")


def test_a_wildcard_file_whose_ending_is_not_in_lower_case_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "jobs/wildcards").mkdir(parents=True)
    for name in ("hair.TXT", "eyes.txt", "notes.md", "a.yaml"):
        (tmp_path / "jobs/wildcards" / name).write_text("x")
    assert Inputs(tmp_path, ()).unread_wildcards() == ("a.yaml", "hair.TXT")
