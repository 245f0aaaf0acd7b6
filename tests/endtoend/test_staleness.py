"""After each change, `doit` generates just what it must: the table of what makes what stale."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from tests.marks import long
from tests.project_folder import JOB, ProjectFolder, items

ALL = ["portraits:mallsing", "portraits:okka", "portraits:yrr"]


def edit_comments(text: str) -> str:
    return "# a new comment\n\n" + text.replace("\n", "   \n\n")


def reorder_keys(text: str) -> str:
    return yaml.safe_dump(yaml.safe_load(text), sort_keys=True)


@pytest.mark.parametrize("edit", [lambda text: text, edit_comments, reorder_keys])
def test_no_change_and_cosmetic_changes_generate_nothing(project: ProjectFolder, edit: Callable[[str], str]) -> None:
    assert project.build_job().tasks("generated") == ALL
    file = project.root / "jobs/portraits.yaml"
    file.write_text(edit(file.read_text()))
    run = project.doit()
    assert (run.code, run.tasks("generated"), run.tasks("restored")) == (0, [], [])
    assert "3 fresh, nothing to do" in run.closing
    assert sorted(project.calls()) == ["Mallsing", "Okka", "Yrr"]


def test_one_prompt_generates_that_image(project: ProjectFolder) -> None:
    project.build_job()
    project.job(items=items(Yrr="a small figure with a lantern"))
    run = project.doit()
    assert run.tasks("generated") == ["portraits:yrr"]
    assert "prompt changed" in run.out


def test_white_space_at_line_ends_of_a_prompt_changes_nothing(project: ProjectFolder) -> None:
    project.build_job()
    project.job(items=items(Yrr="a small figure   \n\n"))
    assert project.doit().tasks("generated") == []


def test_an_item_inserted_at_the_top_generates_only_itself(project: ProjectFolder) -> None:
    project.build_job()
    project.job(items=[{"name": "New", "prompt": "a new figure"}, *items()])
    assert project.doit().tasks("generated") == ["portraits:new"]


def test_reordered_items_generate_nothing(project: ProjectFolder) -> None:
    project.build_job()
    project.job(items=items()[::-1])
    assert project.doit().tasks("generated") == []


@pytest.mark.parametrize(
    "change",
    [
        {"generate": {"width": 64, "height": 64, "steps": 30}},
        long({"generate": {"width": 64, "height": 64, "cfg": 3.5}}),
        long({"generate": {"width": 64, "height": 64, "sampler": "dpmpp_2m"}}),
        long({"generate": {"width": 64, "height": 64, "scheduler": "karras"}}),
        long({"generate": {"width": 64, "height": 64, "negative": "hands"}}),
        long({"generate": {"width": 64, "height": 64, "seed": 5}}),
        long({"generate": {"width": 72, "height": 64}}),
        {"prompt": {"prefix": "oil painting"}},
        long({"prompt": {"suffix": "soft light"}}),
        {"backend": "placeholder"},
    ],
)
@pytest.mark.parametrize("backend", ["scripted", long("placeholder")])
def test_what_holds_for_the_job_generates_all_of_it(
    project: ProjectFolder, change: dict[str, Any], backend: str
) -> None:
    if change == {"backend": "placeholder"}:
        project.build_job(backend="placeholder")
        project.job(backend="scripted")
    else:
        project.build_job(backend=backend)
        project.job(**{"backend": backend, **change})
    assert project.doit().tasks("generated") == ALL


def test_time_outs_are_not_pixels(project: ProjectFolder) -> None:
    project.build_job()
    project.job(generate={"width": 64, "height": 64, "timeout_s": 5})
    assert project.doit().tasks("generated") == []


def test_an_items_override_generates_that_image(project: ProjectFolder) -> None:
    project.build_job()
    changed = items()
    changed[1]["steps"] = 44
    project.job(items=changed)
    run = project.doit()
    assert run.tasks("generated") == ["portraits:yrr"]
    assert "steps 20 → 44" in run.out


def test_another_format_is_encoded_again_from_the_store(project: ProjectFolder) -> None:
    project.build_job()
    project.job(output={"format": "webp"})
    run = project.doit()
    assert (run.tasks("generated"), run.tasks("restored")) == ([], ALL)
    with Image.open(project.image("yrr", ".webp")) as image:
        assert (image.format, image.size) == ("WEBP", (64, 64))


def test_what_a_change_of_format_leaves_behind_is_told(project: ProjectFolder) -> None:
    project.build_job()
    project.job(output={"format": "webp"})
    assert "3 earlier images no longer belong to any item and stay: assets/portraits/mallsing.png" in project.doit().out
    assert "earlier image" not in project.doit().out
    assert project.image("yrr").exists()


def test_another_quality_is_encoded_again_from_the_store(project: ProjectFolder) -> None:
    project.build_job(output={"format": "jpeg", "quality": 90})
    before = project.image("yrr", ".jpg").read_bytes()
    project.job(output={"format": "jpeg", "quality": 30})
    run = project.doit()
    assert (run.tasks("generated"), run.tasks("restored")) == ([], ALL)
    assert "quality 90 → 30" in run.out
    assert project.image("yrr", ".jpg").read_bytes() != before


def test_metadata_is_taken_out_without_generating(project: ProjectFolder) -> None:
    project.build_job()
    assert b"imagegen" in project.image("yrr").read_bytes()
    project.job(output={"metadata": "none"})
    run = project.doit()
    assert (run.tasks("generated"), run.tasks("restored")) == ([], ALL)
    assert b"imagegen" not in project.image("yrr").read_bytes()


def test_a_deleted_output_is_restored(project: ProjectFolder) -> None:
    project.build_job()
    before = project.image("yrr").read_bytes()
    lock = (project.root / "jobs/portraits.lock").read_bytes()
    project.image("yrr").unlink()
    run = project.doit()
    assert (run.tasks("generated"), run.tasks("restored")) == ([], ["portraits:yrr"])
    assert project.image("yrr").read_bytes() == before
    assert (project.root / "jobs/portraits.lock").read_bytes() == lock


def test_a_prompt_changed_and_changed_back_is_restored_and_leaves_git_clean(project: ProjectFolder) -> None:
    project.build_job()
    before = project.image("yrr").read_bytes()
    lock = (project.root / "jobs/portraits.lock").read_bytes()
    project.job(items=items(Yrr="something else"))
    assert project.doit().tasks("generated") == ["portraits:yrr"]
    project.job()
    run = project.doit()
    assert (run.tasks("generated"), run.tasks("restored")) == ([], ["portraits:yrr"])
    assert project.image("yrr").read_bytes() == before
    assert (project.root / "jobs/portraits.lock").read_bytes() == lock


def test_an_item_renamed_with_its_seed_pinned_is_restored(project: ProjectFolder) -> None:
    pinned = items()
    pinned[1]["seed"] = 7
    project.build_job(items=pinned)
    pinned[1]["name"] = "Yrra"
    project.job(items=pinned)
    run = project.doit()
    assert (run.tasks("generated"), run.tasks("restored")) == ([], ["portraits:yrra"])


@pytest.mark.long
def test_an_item_renamed_in_a_fresh_clone_is_taken_from_the_other_output(project: ProjectFolder) -> None:
    pinned = items()
    pinned[1]["seed"] = 7
    project.build_job(items=pinned)
    shutil.rmtree(project.root / ".imagegen")
    pinned[1]["name"] = "Yrra"
    project.job(items=pinned)
    run = project.doit()
    assert (run.tasks("generated"), run.tasks("restored")) == ([], ["portraits:yrra"])
    assert project.image("yrra").read_bytes() == project.image("yrr").read_bytes()


def test_without_its_state_and_doits_database_nothing_is_generated(project: ProjectFolder) -> None:
    project.build_job()
    shutil.rmtree(project.root / ".imagegen")
    run = project.doit()
    assert (run.tasks("generated"), run.tasks("restored")) == ([], [])
    assert "3 fresh" in run.closing


def test_a_clone_with_outputs_and_lock_files_generates_nothing(project: ProjectFolder, tmp_path: Path) -> None:
    project.build_job()
    project.write(".gitignore", ".imagegen/\n__pycache__/\n")
    project.git("init", "-q")
    project.git("add", ".")
    project.git("commit", "-qm", "all")
    project.git("clone", "-q", ".", str(tmp_path / "clone"))
    project.root = tmp_path / "clone"
    run = project.doit()
    assert "3 fresh" in run.closing
    assert project.git("status", "--porcelain") == ""


@pytest.mark.long
def test_a_prompt_changed_and_back_in_a_clone_is_restored_from_what_was_replaced(project: ProjectFolder) -> None:
    project.build_job()
    shutil.rmtree(project.root / ".imagegen")
    before = project.image("yrr").read_bytes()
    project.job(items=items(Yrr="something else"))
    assert project.doit().tasks("generated") == ["portraits:yrr"]
    project.job()
    assert project.doit().tasks("restored") == ["portraits:yrr"]
    assert project.image("yrr").read_bytes() == before


def test_two_merged_branches_generate_nothing(project: ProjectFolder) -> None:
    project.build_job()
    shutil.copy(Path(__file__).parents[2] / ".gitattributes", project.root)
    project.write(".gitignore", ".imagegen/\n__pycache__/\ncalls.jsonl\n")
    # one file for each item's prompt, so that the branches' job files do not conflict
    project.git("init", "-q", "-b", "main")
    project.write("jobs/other.yaml", yaml.safe_dump(JOB | {"items": [{"name": "Ours", "prompt": "one"}]}))
    project.doit()
    project.git("add", ".")
    project.git("commit", "-qm", "base")
    project.git("checkout", "-qb", "theirs")
    project.job(items=items(Mallsing="a very tall figure"))
    assert project.doit().tasks("generated") == ["portraits:mallsing"]
    project.git("commit", "-qam", "theirs")
    project.git("checkout", "-q", "main")
    project.job(items=items(Okka="a very broad figure"))
    assert project.doit().tasks("generated") == ["portraits:okka"]
    project.git("commit", "-qam", "ours")
    project.git("merge", "-q", "theirs", "-m", "merge", "-X", "ours")
    project.job(items=items(Mallsing="a very tall figure", Okka="a very broad figure"))
    shutil.rmtree(project.root / ".imagegen")
    calls = len(project.calls())
    run = project.doit()
    assert (run.code, run.tasks("generated"), run.tasks("restored")) == (0, [], [])
    assert len(project.calls()) == calls
    assert len(project.lines()) == 3  # folded


@pytest.mark.long
def test_of_two_images_that_both_branches_rerolled_each_is_the_one_that_was_chosen(project: ProjectFolder) -> None:
    """Also if doit was called with both of them in conflict, and knows them by that."""
    project.build_job()
    shutil.copy(Path(__file__).parents[2] / ".gitattributes", project.root)
    project.write(".gitignore", ".imagegen/\n.doit.db*\n__pycache__/\ncalls.jsonl\n")
    project.git("init", "-q", "-b", "main")
    project.git("add", ".")
    project.git("commit", "-qm", "base")
    project.git("branch", "theirs")
    files = {}
    for branch in ("theirs", "main"):
        project.git("checkout", "-q", branch)
        for name in ("mallsing", "yrr"):
            assert project.doit("reroll", f"portraits:{name}").code == 0
            if branch == "main":  # not the same seed as on the other branch
                assert project.doit("reroll", f"portraits:{name}").code == 0
            files[branch, name] = project.image(name).read_bytes()
        project.git("commit", "-qam", branch)
    project.git("merge", "-q", "theirs", may_fail=True)
    conflicts = project.git("diff", "--name-only", "--diff-filter=U").split()
    assert conflicts == ["assets/portraits/mallsing.png", "assets/portraits/yrr.png"]
    project.doit()
    project.git("checkout", "--theirs", conflicts[0])
    project.git("checkout", "--ours", conflicts[1])
    project.git("add", *conflicts)
    calls = len(project.calls())
    run = project.doit()
    assert run.code == 0, run.out + run.err
    assert project.image("mallsing").read_bytes() == files["theirs", "mallsing"]
    assert project.image("yrr").read_bytes() == files["main", "yrr"]
    assert "3 fresh" in project.doit().closing
    assert len(project.calls()) == calls


def touch_up(image: Path) -> bytes:
    with Image.open(image) as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).rotate(3).save(image)
    data = image.read_bytes() + b""
    image.write_bytes(data)
    return data


def test_a_touched_up_output_is_kept_while_its_request_stands(project: ProjectFolder) -> None:
    project.build_job()
    data = touch_up(project.image("yrr"))
    for _ in range(2):
        run = project.doit()
        assert (run.code, run.tasks("generated"), run.tasks("kept")) == (0, [], ["portraits:yrr"])
        assert "changed since it was generated" in run.out
    assert project.image("yrr").read_bytes() == data


def test_a_touched_up_output_whose_request_changed_fails_untouched(project: ProjectFolder) -> None:
    project.build_job()
    data = touch_up(project.image("yrr"))
    project.job(items=items(Yrr="something else", Okka="something else too"))
    run = project.doit()
    assert (run.code, run.tasks("generated"), run.tasks("failed")) == (1, ["portraits:okka"], ["portraits:yrr"])
    assert "changed since it was generated" in run.out
    assert "output: {overwrite: always}" in run.out
    assert project.image("yrr").read_bytes() == data
    assert "Yrr" not in project.calls("started")[3:]


def test_a_file_that_was_there_before_fails_its_image_untouched(project: ProjectFolder) -> None:
    project.image("yrr").parent.mkdir(parents=True)
    project.image("yrr").write_bytes(b"somebody's own")
    project.job()
    run = project.doit()
    assert (run.tasks("generated"), run.tasks("failed")) == (
        ["portraits:mallsing", "portraits:okka"],
        ["portraits:yrr"],
    )
    assert run.code != 0
    assert "imagegen did not write this file" in run.out
    assert project.image("yrr").read_bytes() == b"somebody's own"
    assert sorted(project.calls("started")) == ["Mallsing", "Okka"]


def test_overwrite_always_replaces_and_the_store_keeps_what_was_there(project: ProjectFolder) -> None:
    project.image("yrr").parent.mkdir(parents=True)
    project.image("yrr").write_bytes(b"somebody's own")
    run = project.build_job(output={"overwrite": "always"})
    assert run.tasks("generated") == ALL
    kept = [path.read_bytes() for path in (project.root / ".imagegen/store/blobs").rglob("*") if path.is_file()]
    assert b"somebody's own" in kept


def test_overwrite_never_keeps_a_stale_file_and_says_so(project: ProjectFolder) -> None:
    project.build_job(output={"overwrite": "never"})
    before = project.image("yrr").read_bytes()
    project.job(items=items(Yrr="something else"), output={"overwrite": "never"})
    run = project.doit()
    assert (run.code, run.tasks("generated"), run.tasks("kept")) == (0, [], ["portraits:yrr"])
    assert "output.overwrite is never" in run.out
    assert project.image("yrr").read_bytes() == before


def test_placeholder_never_replaces_an_image_of_a_real_backend(project: ProjectFolder) -> None:
    project.build_job()
    before = project.image("yrr").read_bytes()
    for arguments in (["backend=placeholder"], ["-a", "backend=placeholder"]):
        run = project.doit(*arguments)
        assert (run.code, run.tasks("generated"), run.tasks("kept")) == (0, [], ALL)
    assert project.image("yrr").read_bytes() == before
    assert project.doit().tasks("generated") == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(["-a"], ALL), (["-a", "portraits:mallsing"], ["portraits:mallsing"]), long(["-a", "portraits"], ALL)],
)
def test_doit_a_generates_though_fresh_and_stored(
    project: ProjectFolder, arguments: list[str], expected: list[str]
) -> None:
    project.build_job()
    calls = len(project.calls())
    run = project.doit(*arguments)
    assert (run.code, run.tasks("generated")) == (0, expected)
    assert len(project.calls()) == calls + len(expected)


@pytest.mark.long
def test_two_builds_at_once_make_each_image_once(project: ProjectFolder) -> None:
    project.script(acts={"*": [{"delay_s": 2}]})
    project.job()
    first = project.start()
    while not project.calls("started") and first.poll() is None:
        time.sleep(0.02)
    second = project.start()
    third = project.start("wait=60")
    out = [process.communicate(timeout=60) for process in (first, second, third)]
    assert sorted(project.calls()) == ["Mallsing", "Okka", "Yrr"]
    assert first.returncode == 0, out[0]
    assert "another doit is running here" in out[1][0]
    assert "wait=600" in out[1][0]
    assert second.returncode != 0
    assert third.returncode == 0, out[2]
    assert "3 fresh" in out[2][0]


def test_a_build_that_waited_takes_the_seeds_that_the_other_drew(project: ProjectFolder) -> None:
    project.script(acts={"*": [{"delay_s": 0.7}]})
    project.job(generate={"width": 64, "height": 64, "seed": {"mode": "random"}})
    first = project.start()
    while not project.calls("started") and first.poll() is None:
        time.sleep(0.02)
    second = project.doit("wait=60")
    first.communicate(timeout=60)
    assert (second.code, second.tasks("generated")) == (0, [])
    assert len(project.calls()) == 3


def test_only_a_known_different_model_makes_images_stale(project: ProjectFolder) -> None:
    project.script(digest=None)
    project.build_job()
    project.script(digest="aaaa")
    assert project.doit().tasks("generated") == []  # unknown then: neither stale nor refused
    project.image("yrr").unlink()
    assert project.doit().tasks("restored") == ["portraits:yrr"]


def test_a_model_replaced_under_its_name_makes_its_images_stale(project: ProjectFolder) -> None:
    project.script(digest="aaaa")
    project.build_job()
    project.script(digest="bbbb")
    run = project.doit()
    assert run.tasks("generated") == ALL
    assert "the model's files changed" in run.out
    project.script(digest="aaaa")
    assert project.doit().tasks("restored") == ALL
