"""`doit image`: one-off images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.images.pictures import read
from tests.marks import long
from tests.project_folder import ProjectFolder

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
    assert "imagegen did not write this file" in run.out
    assert "choose another --name or --out\n" in run.out
    assert "in the job" not in run.out
    assert (project.root / "assets/images/own.png").read_text() == "mine"


def test_doit_a_makes_it_anew(project: ProjectFolder) -> None:
    words = ("image", "--prompt", "x", "--backend", "scripted", "--name", "Mallsing", *SMALL)
    project.doit(*words)
    assert project.doit("-a", *words).tasks("generated") == ["image:mallsing"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no prompt"),
        long(("--prompt", "x", "--steps", "0"), "--steps: 0 is too small"),
        (("--prompt", "x", "--width", "7"), "--width: 7 is too small"),
        (("--prompt", "x", "--backend", "comfi"), "there is no backend 'comfi'; did you mean 'comfyui'?"),
        long(("--prompt", "x", "--model", "m"), "the backend placeholder has no models"),
        (("--prompt", "x", "--out", "../x.png"), "doit image: --out: '..' is outside the project"),
        long(("--prompt", "x", "--out", f"{'a' * 300}.png"), "--out: is too long"),
        long(("--like", f"{'a' * 300}.png"), "cannot be read"),
        long(("--prompt", "x", "backend=nosuch"), "command line: there is no backend 'nosuch'"),
        long(("--prompt", "x", "--prompt", "y", "--out", "x.png"), "is one file, for 2 images"),
        long(("--prompt", "x", "--count", "3", "--out", "x.png"), "is one file, for 3 images"),
        long(("--prompt", "x", "--count", "0"), "--count=0: expected a number from 1 to 1000"),
        long(("--prompt", "x", "--save", "x.yaml"), "'x.yaml' cannot be a job file"),
        long(
            ("--prompt", "x", "--save", "jobs/x.yaml", "--out", "x"), "--out: the job decides where a saved image goes"
        ),
        (("--like", "x.png"), "x.png: cannot be read: No such file or directory"),
        (("--like", "dodo.py"), "dodo.py: not a PNG, WebP, AVIF or JPEG image"),
        long(("--prompt", "!!!"), "has nothing in it that a file could be named after"),
        long(("--prompt", "x", "--out", "a/x.jpeg"), "the ending of jpeg is .jpg"),
    ],
)
def test_what_cannot_be_made_is_told(project: ProjectFolder, words: tuple[str, ...], message: str) -> None:
    run = project.doit("image", *words)
    assert run.code != 0
    assert message in run.out
    assert not (project.root / "assets").exists()


def test_a_jobs_output_is_not_taken(project: ProjectFolder) -> None:
    project.build_job()
    run = project.doit("image", "--prompt", "x", "--out", "assets/portraits/yrr.png")
    assert "belongs to portraits:yrr" in run.out
    assert run.code != 0


SCRIPTED = ("--backend", "scripted", *SMALL)


def requests(project: ProjectFolder, job: str = "image") -> dict[str, dict[str, Any]]:
    return {line["output"]: line["request"] for line in project.lines(job)}


def test_a_count_makes_as_many_seeds_of_each_prompt_and_a_higher_one_the_rest(project: ProjectFolder) -> None:
    words = ("image", "--prompt", "a raven", "--prompt", "an {oak|oak}", *SCRIPTED)
    run = project.doit(*words, "--count", "2")
    assert run.tasks("generated") == ["image:a-raven-1", "image:a-raven-2", "image:an-oak-oak-1", "image:an-oak-oak-2"]
    assert len({request["seed"] for request in requests(project).values()}) == 4
    again = project.doit(*words, "--count", "3", "--seed", "7", "--name", "x")
    assert len(again.tasks("generated")) == 6
    seeds = {name: request["seed"] for name, request in requests(project).items() if name.startswith("x-1")}
    assert seeds == {"x-1-1": 7, "x-1-2": 8, "x-1-3": 9}
    more = project.doit(*words, "--count", "3")
    assert (more.tasks("generated"), len(more.tasks("fresh"))) == (["image:a-raven-3", "image:an-oak-oak-3"], 4)


GENERATE = {"width": 64, "height": 48, "steps": 9, "cfg": 3.5, "negative": "{hands}", "seed": {"base": 5}}


@pytest.mark.parametrize(
    "kind", ["none", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("png", "webp", "jpeg", "avif"))]
)
def test_an_image_is_made_like_another_but_for_what_is_given(project: ProjectFolder, kind: str) -> None:
    output = {"metadata": "none"} if kind == "none" else {"format": kind}
    items = [{"name": "Yrr", "prompt": "a \\{small|tiny\\} figure"}]
    project.build_job(items=items, generate=GENERATE, output=output, scripted={"model": "m2"})
    (before,) = requests(project, "portraits").values()
    image = str(
        project.image("yrr", {"webp": ".webp", "jpeg": ".jpg", "avif": ".avif"}.get(kind, ".png")).relative_to(
            project.root
        )
    )
    if kind != "none":  # the lock line is not needed, and of a copy not there
        moved = Path(image).name
        (project.root / image).rename(project.root / moved)
        (project.root / "jobs/portraits.yaml").unlink()
        image = moved
    same = project.doit("image", "--like", image)
    assert same.tasks("restored") == ["image:yrr"]
    run = project.doit("image", "--like", image, "--steps", "40")
    assert run.tasks("generated") == ["image:yrr"]
    assert requests(project)["yrr"] == {**before, "steps": 40}
    assert before["prompt"] == "a {small|tiny} figure"


def test_another_backend_takes_over_what_it_understands(project: ProjectFolder) -> None:
    project.build_job(scripted={"model": "m2"})
    run = project.doit("image", "--like", "assets/portraits/yrr.png", "--backend", "placeholder", "--prompt", "an oak")
    assert run.tasks("generated") == ["image:yrr"]
    found = requests(project)["yrr"]
    assert (found["backend"], found["model"], found["prompt"], found["width"]) == ("placeholder", "", "an oak", 64)


def test_an_image_that_says_nothing_is_refused_with_what_to_do(project: ProjectFolder) -> None:
    Image.new("RGB", (8, 8)).save(project.root / "x.png")
    run = project.doit("image", "--like", "x.png")
    assert run.code != 0
    assert "x.png: does not say how it was generated, and no lock file does\n    name an image generated by" in run.out


def test_images_of_other_generators_are_read(project: ProjectFolder) -> None:
    parameters = (
        "a raven\nNegative prompt: hands\nSteps: 9, Sampler: Euler a, CFG scale: 3.5, Seed: 12, Size: 64x48, Model: m"
    )
    info = PngInfo()
    info.add_text("parameters", parameters)
    Image.new("RGB", (8, 8)).save(project.root / "a.png", pnginfo=info)
    run = project.doit("image", "--like", "a.png", "--backend", "scripted")
    assert "a.png: not taken over: Model m" in run.out
    found = requests(project)["a"]
    assert [found[key] for key in ("prompt", "negative", "steps", "cfg", "seed", "width", "height")] == [
        "a raven",
        "hands",
        9,
        3.5,
        12,
        64,
        48,
    ]


def test_a_saved_image_is_an_item_that_is_fresh(project: ProjectFolder) -> None:
    text = "# mine\nbackend: scripted\n\nprompt: {suffix: soft light}  # on all\nitems:\n  - {name: A, prompt: a}\n"
    project.write("jobs/scraps.yaml", text)
    project.write("script.json", "{}")
    run = project.doit(
        "image",
        "--prompt",
        "a raven, soft light",
        "--count",
        "2",
        "--name",
        "Raven",
        "--save",
        "jobs/scraps.yaml",
        *SCRIPTED,
    )
    assert run.tasks("generated") == ["scraps:raven-1", "scraps:raven-2"]
    assert "added to jobs/scraps.yaml: Raven-1, Raven-2" in run.out
    after = (project.root / "jobs/scraps.yaml").read_text()
    assert after.startswith(text)
    assert "  - {name: Raven-1, prompt: a raven, width: 64, height: 48, seed: " in after
    assert project.doit("scraps").tasks("generated") == ["scraps:a"]
    assert project.doit().closing.startswith("3 fresh")
    again = project.doit("image", "--like", "assets/scraps/raven-2.png", "--save", "jobs/scraps.yaml")
    assert "jobs/scraps.yaml has it already" in again.out


def test_what_failed_or_is_refused_is_not_saved(project: ProjectFolder) -> None:
    project.job("scraps", scripted={"script": "script.json"})
    before = (project.root / "jobs/scraps.yaml").read_bytes()
    project.script(acts={"b": [{"error": "no"}]})
    run = project.doit("image", "--prompt", "x", "--name", "b", "--save", "jobs/scraps.yaml", *SCRIPTED)
    assert run.code != 0
    assert run.tasks("failed") == ["scraps:b"]
    refused = project.doit("image", "--prompt", "x", "--backend", "placeholder", "--save", "jobs/scraps.yaml")
    assert "jobs/scraps.yaml uses scripted, and this image placeholder" in refused.out
    assert (project.root / "jobs/scraps.yaml").read_bytes() == before
    assert not (project.root / "assets").exists()


def test_an_image_like_a_one_off_replaces_nothing_and_the_same_command_goes_back(project: ProjectFolder) -> None:
    words = ("image", "--name", "raven", *SCRIPTED)
    project.doit(*words, "--prompt", "a raven")
    like = ("image", "--like", "assets/images/raven.png", "--steps")
    assert project.doit(*like, "40").tasks("generated") == ["image:raven-2"]
    assert project.doit(*like, "50").tasks("generated") == ["image:raven-3"]
    assert project.doit(*words, "--prompt", "an oak").tasks("generated") == ["image:raven"]
    assert project.doit(*words, "--prompt", "a raven").tasks("restored") == ["image:raven"]


def test_a_file_to_be_like_is_found_from_the_folder_that_doit_was_called_in(project: ProjectFolder) -> None:
    project.build_job()
    project.called_in = project.root / "jobs"
    run = project.doit("-k", "image", "--like", "../assets/portraits/yrr.png")
    assert run.tasks("restored") == ["image:yrr"]
    run = project.doit("-k", "image", "--like", "../assets/portraits/nobody.png")
    assert "../assets/portraits/nobody.png: cannot be read" in run.out


def test_of_a_pointer_or_a_damaged_file_the_line_in_the_lock_file_tells(project: ProjectFolder) -> None:
    project.build_job()
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 9\n"
    mallsing = next(line for line in project.lines() if line["output"] == "mallsing")
    project.write("mallsing.png", pointer.format(mallsing["sha256"]))
    project.image("yrr").write_bytes(project.image("yrr").read_bytes()[:-20])
    assert project.doit("image", "--like", "mallsing.png").tasks("restored") == ["image:mallsing"]
    assert project.doit("image", "--like", "assets/portraits/yrr.png").tasks("restored") == ["image:yrr"]
    project.write("unknown.png", pointer.format("0" * 64))
    run = project.doit("image", "--like", "unknown.png")
    assert "unknown.png: is a Git LFS pointer in place of the image" in run.out
    assert "    git lfs pull" in run.out
