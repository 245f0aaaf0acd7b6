"""What was made once becomes an item of a job, which then makes just that image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from imagegen.backends.placeholder import PlaceholderBackend
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError
from imagegen.execute.saved_items import ImageToSave, PlannedSave, plan_save, save
from imagegen.project import Project
from tests.scripted import ScriptedBackend

REGISTRY: dict[str, Any] = {"scripted": ScriptedBackend, "placeholder": PlaceholderBackend}
HEAD = "# scraps\nbackend: scripted   # for now\ngenerate: {width: 64, height: 64}\n"
ITEMS = "items:\n  - name: A  # the first\n    prompt: a\n"


def kept(root: Path, backend: str = "scripted", section: dict[str, Any] | None = None, **item: Any) -> ImageToSave:
    item = {"name": "Raven", "prompt": "a raven", "width": 64, "height": 64, "seed": 7, **item}
    job = {"backend": backend, "items": [item], **({backend: section} if section else {})}
    plan = Project(root, Settings(), REGISTRY).planner.plan_of("jobs/one.json", json.dumps(job).encode())
    assert plan.problems == ()
    return ImageToSave(item["name"], plan.outputs[0], section or {})


def saved(
    root: Path, text: str | None, *images: ImageToSave, file: str = "jobs/scraps.yaml", **settings: Any
) -> PlannedSave:
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    if text is not None:
        path.write_text(text)
    project = Project(root, Settings(**settings), REGISTRY, {"image", "list"})
    found = save(project, file, images or [kept(root)])
    plan = next(plan for plan in Project(root, Settings(), REGISTRY).plans() if plan.file == file)
    assert plan.problems == ()
    assert all(output in plan.outputs for output in found.outputs)
    return found


def test_an_item_says_what_the_job_says_otherwise_and_no_more(tmp_path: Path) -> None:
    saved(tmp_path, HEAD + ITEMS)
    assert (
        tmp_path / "jobs/scraps.yaml"
    ).read_text() == HEAD + ITEMS + "  - name: Raven\n    prompt: a raven\n    seed: 7\n"


def test_all_that_differs_is_overridden(tmp_path: Path) -> None:
    one = kept(
        tmp_path,
        section={"model": "m2"},
        steps=40,
        cfg=3.5,
        negative="a {b|c\\} d".replace("\\", ""),
        prompt="x",
        sampler="ddim",
    )
    saved(tmp_path, HEAD + "prompt: {}\n" + ITEMS, one)
    plan = Project(tmp_path, Settings(), REGISTRY).plans()[0]
    assert plan.outputs[-1].fields == one.output.fields
    assert "    steps: 40\n" in (tmp_path / "jobs/scraps.yaml").read_text()


def test_the_default_model_is_named_where_the_job_has_another(tmp_path: Path) -> None:
    saved(tmp_path, HEAD + "scripted: {model: m2}\n" + ITEMS)
    assert "    scripted: {model: colours}\n" in (tmp_path / "jobs/scraps.yaml").read_text()


def test_what_the_job_puts_around_each_prompt_is_left_out_of_the_item(tmp_path: Path) -> None:
    text = HEAD + "prompt: {prefix: oil painting, suffix: soft light}\n" + ITEMS
    saved(
        tmp_path,
        text,
        kept(tmp_path, prompt="oil painting, a raven. soft light"),
        kept(tmp_path, name="B", prompt="oil painting, an oak, soft light"),
    )
    assert [line for line in (tmp_path / "jobs/scraps.yaml").read_text().splitlines() if "prompt: a" in line][1:] == [
        "    prompt: a raven.",
        "    prompt: an oak",
    ]


def test_a_text_with_braces_is_said_so_that_nothing_is_drawn(tmp_path: Path) -> None:
    found = saved(tmp_path, HEAD + ITEMS, kept(tmp_path, prompt=r"a \{red|green\} \__cloak__"))
    assert found.outputs[0].request.prompt == "a {red|green} __cloak__"


@pytest.mark.parametrize("file", ["jobs/scraps.yaml", "jobs/scraps.json", "jobs/scraps.yml"])
def test_a_file_that_is_not_there_is_begun(tmp_path: Path, file: str) -> None:
    found = saved(tmp_path, None, file=file)
    assert (found.file, found.added, found.outputs[0].path) == (file, ("Raven",), "assets/scraps/raven.png")
    assert Project(tmp_path, Settings(), REGISTRY).plans()[0].backend == "scripted"


def test_what_is_there_already_is_not_added_again(tmp_path: Path) -> None:
    saved(tmp_path, HEAD + ITEMS)
    before = (tmp_path / "jobs/scraps.yaml").read_bytes()
    assert saved(tmp_path, None).added == ()
    assert (tmp_path / "jobs/scraps.yaml").read_bytes() == before


def test_the_jobs_own_backend_counts_and_not_the_command_lines(tmp_path: Path) -> None:
    assert saved(tmp_path, HEAD + ITEMS, forced_backend="placeholder").added == ("Raven",)


def test_a_file_through_a_link_with_a_bom_and_windows_line_ends_stays_so(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    real = tmp_path / "real.yaml"
    real.write_bytes(b"\xef\xbb\xbf" + (HEAD + ITEMS).replace("\n", "\r\n").encode())
    real.chmod(0o640)
    (tmp_path / "jobs/scraps.yaml").symlink_to(real)
    saved(tmp_path, None)
    assert (tmp_path / "jobs/scraps.yaml").is_symlink()
    assert real.read_bytes().startswith(b"\xef\xbb\xbf# scraps\r\n")
    assert real.read_bytes().count(b"\n") == real.read_bytes().count(b"\r\n") == 9
    assert real.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("text", "item", "message"),
    [
        ("backend: placeholder\n" + ITEMS, {}, "jobs/scraps.yaml uses placeholder, and this image scripted"),
        (HEAD + "prompt: {prefix: oil painting}\n" + ITEMS, {}, "would put its own prefix and suffix around the prompt"),
        (HEAD + ITEMS, {"name": "A"}, "has 'a' already, which is another image"),
        (HEAD + "scripted: {script: s.json}\ngenerate2: {}\n" + ITEMS, {}, "generate2: unknown key"),
        (HEAD + "variants: 2\n" + ITEMS, {}, "cannot have it as an item: seed: 7 for all variants"),
        (HEAD + "matrix: {steps: [3, 4]}\n" + ITEMS, {}, "would give 2 images, by its matrix or variants"),
        (HEAD + "matrix: {mood: [calm]}\nitems: [{name: A, prompt: 'a {mood}'}]", {}, "the prompt of 'Raven' does not use {mood}"),
        (HEAD + "output: {name: one}\n" + ITEMS, {}, "'scraps:a' and 'scraps:raven' would both be written to assets/scraps/one.png"),
        (HEAD + "extends: _b.yaml\n", {}, "the items of jobs/scraps.yaml are those that it extends, and its own would replace them"),
        (HEAD + "items: [{name: A, prompt: a, stepz: 3}]", {}, "items[0].stepz: unknown key"),
        (HEAD + "items: [{", {}, "is never closed"),
    ],
)  # fmt: skip
def test_what_would_not_be_the_same_image_is_refused_and_changes_nothing(
    tmp_path: Path, text: str, item: dict[str, Any], message: str
) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/_b.yaml").write_text("items: [{name: B, prompt: b}]")
    with pytest.raises(ImagegenError, match="(?s).*" + message.replace("[", r"\[").replace("{", r"\{")):
        saved(tmp_path, text, kept(tmp_path, **item))
    assert (tmp_path / "jobs/scraps.yaml").read_text() == text


def test_items_of_a_source_keep_their_seeds(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("name,prompt\nA,a\n")
    text = HEAD.replace("64}", "64, seed: {mode: sequence}}") + "source: p.csv\n"
    with pytest.raises(ImagegenError, match="would change others of it: a"):
        saved(tmp_path, text)
    assert saved(tmp_path, text.replace("sequence", "by-name")).added == ("Raven",)


@pytest.mark.parametrize(
    "file",
    [
        "scraps.yaml",
        "jobs/scraps.txt",
        "jobs/sub/scraps.yaml",
        "jobs/_base.yaml",
        "jobs/list.yaml",
        "jobs/../x.yaml",
        "jobs/a b.yaml",
    ],
)
def test_only_a_job_file_is_written(tmp_path: Path, file: str) -> None:
    with pytest.raises(ImagegenError, match="cannot be a job file"):
        plan_save(Project(tmp_path, Settings(), REGISTRY, {"list"}), file, [kept(tmp_path)])


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    saved(tmp_path, HEAD + ITEMS)
    with pytest.raises(ImagegenError, match=r"jobs/scraps.yaml has the name 'scraps' already"):
        saved(tmp_path, None, file="jobs/scraps.json")


def test_a_job_with_derived_files_and_a_sheet_takes_an_item_and_they_follow(tmp_path: Path) -> None:
    derived = "derive:\n  thumb: {width: 32}\nsheet: {columns: 2}\n"
    found = saved(tmp_path, HEAD + derived + ITEMS)
    assert [output.task for output in found.outputs] == ["scraps:raven"]
    assert saved(tmp_path, None).added == ()  # it is there
    outputs = Project(tmp_path, Settings(), REGISTRY).plans()[0].outputs
    assert [output.slug for output in outputs if output.is_derived and "raven" in output.slug]


def test_a_file_of_comments_and_a_list_without_entries_are_begun(tmp_path: Path) -> None:
    size = "    width: 64\n    height: 64\n"
    item = f"  - name: Raven\n    prompt: a raven\n{size}    seed: 7\n"
    saved(tmp_path, "# scraps\n")
    assert (tmp_path / "jobs/scraps.yaml").read_text() == f"# scraps\nbackend: scripted\nitems:\n{item}"
    saved(tmp_path, "backend: scripted\nitems:  # to come\n")
    assert (tmp_path / "jobs/scraps.yaml").read_text() == f"backend: scripted\nitems:  # to come\n{item}"
