"""`doit image`: one-off images."""

from __future__ import annotations

import re

import pytest
from PIL import Image

from imagegen.images.provenance import read
from tests.endtoend.project import ProjectFolder

SMALL = ("--width", "64", "--height", "48")


def test_one_prompt_makes_one_image_and_prints_path_and_seed(project: ProjectFolder) -> None:
    run = project.doit("image", "--prompt", "a raven on a standing stone", *SMALL)
    assert run.code == 0
    assert re.search(r"assets/images/a-raven-on-a-standing-stone\.png .*seed \d+", run.out)
    with Image.open(project.root / "assets/images/a-raven-on-a-standing-stone.png") as image:
        assert image.size == (64, 48)
    again = project.doit("image", "--prompt", "a raven on a standing stone", *SMALL)
    assert again.tasks("fresh") == ["image:a-raven-on-a-standing-stone"]


def test_several_prompts_make_a_batch(project: ProjectFolder) -> None:
    run = project.doit("image", "--prompt", "a raven", "--prompt", "an oak", "--name", "arms", *SMALL)
    assert run.tasks("generated") == ["image:arms-1", "image:arms-2"]


def test_every_option_reaches_the_request(project: ProjectFolder) -> None:
    options = {
        "negative": "hands",
        "steps": "7",
        "seed": "99",
        "backend": "scripted",
        "model": "m2",
        "out": "art/x.webp",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    assert project.doit("image", "--prompt", "a raven", *words, *SMALL).code == 0
    record = read((project.root / "art/x.webp").read_bytes())
    assert record is not None
    assert record["request"] == {
        "backend": "scripted", "model": "m2", "prompt": "a raven", "negative": "hands", "width": 64, "height": 48,
        "steps": 7, "cfg": 7.0, "sampler": "euler", "scheduler": "normal", "seed": 99,
    }  # fmt: skip


def test_files_that_were_there_are_protected_like_a_jobs(project: ProjectFolder) -> None:
    project.write("assets/images/own.png", "mine")
    run = project.doit("image", "--prompt", "x", "--name", "own", *SMALL)
    assert run.code != 0
    assert "was there before" in run.out
    assert (project.root / "assets/images/own.png").read_text() == "mine"


def test_doit_a_makes_it_anew(project: ProjectFolder) -> None:
    words = ("image", "--prompt", "x", "--backend", "scripted", "--name", "Mallsing", *SMALL)
    project.doit(*words)
    assert project.doit("-a", *words).tasks("generated") == ["image:mallsing"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no prompt"),
        (("--prompt", "x", "--steps", "0"), "generate.steps: 0 is too small"),
        (("--prompt", "x", "--width", "7"), "generate.width: 7 is too small"),
        (("--prompt", "x", "--backend", "comfi"), "there is no backend 'comfi'; did you mean 'comfyui'?"),
        (("--prompt", "x", "--model", "m"), "the backend placeholder has no models"),
        (("--prompt", "x", "--out", "../x.png"), "leads out of the project"),
        (("--prompt", "x", "--prompt", "y", "--out", "x.png"), "is one file, for 2 prompts"),
        (("--prompt", "!!!"), "has nothing in it that a file could be named after"),
        (("--prompt", "x", "--out", "a/x.jpeg"), "write the ending as .jpg"),
    ],
)
def test_what_cannot_be_made_is_told(project: ProjectFolder, words: tuple[str, ...], said: str) -> None:
    run = project.doit("image", *words)
    assert run.code != 0
    assert said in run.out
    assert not (project.root / "assets").exists()


def test_a_jobs_output_is_not_taken(project: ProjectFolder) -> None:
    project.built()
    run = project.doit("image", "--prompt", "x", "--out", "assets/portraits/yrr.png")
    assert "belongs to portraits:yrr" in run.out
    assert run.code != 0
