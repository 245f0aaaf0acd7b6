"""Derived files in steps: built, followed, and refused before anything is built."""

from __future__ import annotations

import re
from typing import Any

from PIL import Image, ImageDraw

from tests.project_folder import ProjectFolder

FILL = {"resize": {"width": 32, "height": 32, "mode": "fill"}}
RING = {"frame": "art/ring.png"}


def token(*steps: Any) -> dict[str, Any]:
    return {"token": {"steps": list(steps), "format": "webp", "quality": 100}}


def draw_ring(project: ProjectFolder, colour: str = "gold") -> None:
    ring = Image.new("RGBA", (64, 64))
    ImageDraw.Draw(ring).ellipse((0, 0, 63, 63), outline=colour, width=8)
    (project.root / "art").mkdir(exist_ok=True)
    ring.save(project.root / "art/ring.png")


def test_a_token_follows_its_image_its_steps_and_its_ring(project: ProjectFolder) -> None:
    draw_ring(project)
    run = project.build_job(derive=token(FILL, {"mask": "circle"}, RING))
    assert len(run.tasks("derived")) == 3
    with Image.open(project.image("yrr-token", ".webp")) as found:
        assert (found.size, found.mode) == ((32, 32), "RGBA")
        assert [found.getpixel((x, 16))[3] for x in (0, 16)] == [255, 255]
        assert found.getpixel((0, 0))[3] == 0
    assert "6 fresh, nothing to do" in project.doit().closing

    draw_ring(project, "teal")
    out = project.doit("why").out
    assert len(re.findall(r"steps\.frame \(3\)\.image: \w{12}… → \w{12}… \(art/ring\.png\)\n", out)) == 3
    run = project.doit()
    assert len(run.tasks("derived")) == 3
    assert run.out.count("(steps.frame (3).image ") == 3
    project.job(derive=token(FILL, {"mask": {"shape": "rounded", "radius": 5}}, RING))
    out = project.doit("why").out
    assert out.count("steps.mask (2).shape: circle → rounded\n") == 3
    assert out.count("steps.mask (2).radius: none → 5\n") == 3


def test_what_is_wrong_with_steps_is_said_before_anything_is_built(project: ProjectFolder) -> None:
    draw_ring(project)
    project.write("art/none.gpl", "not a palette")
    steps = [
        {"mask": "art/missing.png"},
        {"frame": "art/ring.png"},
        {"quantise": "art/none.gpl"},
        {"frame": "art/none.gpl"},
    ]
    project.job(derive=token(*steps))
    for command in ([], ["why"]):
        run = project.doit(*command)
        for index, what in (
            (0, "mask: art/missing.png: there is no such file"),
            (2, "quantise: art/none.gpl: it is not a palette: 'not a palette' is not a colour"),
            (3, "frame: art/none.gpl: not a PNG"),
        ):
            assert f": derive.token.steps[{index}].{what}" in run.out + run.err
    assert project.calls() == []


ALL_THREE = r"assets/portraits/\w+\.png, assets/portraits/\w+\.png, assets/portraits/\w+\.png"


def test_an_image_without_transparency_is_refused_alone(project: ProjectFolder) -> None:
    project.job(derive=token(FILL, "trim"))
    run = project.doit()  # the images are generated in the same run
    assert (len(run.tasks("generated")), len(run.tasks("failed"))) == (3, 3)
    where = r"portraits:\w+:token: jobs/portraits.yaml:\d+:\d+: derive\.token\.steps\[1\]\.trim"
    what = rf"not possible with {ALL_THREE}: the image has no transparency"
    assert len(re.findall(f"{where}: {what}", run.out + run.err)) == 1
    assert "put background, cutout or mask before it in steps" in run.out + run.err

    image = Image.new("RGBA", (64, 64))
    image.paste("red", (8, 8, 56, 56))
    image.save(project.image("yrr"))
    more = [*project.base_job["items"], {"name": "New", "prompt": "another figure"}]
    what = "derive.token.steps[1].trim: needs images with transparency, and these have none: assets/portraits/"
    for derived in (["thumb", "token"], []):  # in the second run, what is left is planned in part
        project.job(items=more, derive=token(FILL, "trim") | {"thumb": {"width": 8}})
        run = project.doit()
        assert run.code != 0
        assert {*run.tasks("failed")} == {f"portraits:{name}:token" for name in ("mallsing", "new", "okka")}
        assert {task.rpartition(":")[2] for task in run.tasks("derived")} == {*derived}
        assert len(re.findall(rf"jobs/portraits.yaml:\d+:7: {re.escape(what)}", run.out + run.err)) == 1

    project.job(items=more, derive=token(FILL, {"mask": "circle"}, "trim"))
    assert len(project.doit().tasks("derived")) == 4


def test_a_frame_of_another_ratio_is_located_and_the_hint_helps(project: ProjectFolder) -> None:
    draw_ring(project)
    derived: list[dict[str, Any]] = [
        token({"resize": {"width": 40, "height": 20, "mode": "fill"}}, RING),
        {"token": {"preset": "token-foundry", "resize": {"width": 40, "height": 20}, **RING}},
    ]
    for derive in derived:
        project.job(derive=derive)
        run = project.doit()
        what = rf"frame: not possible with {ALL_THREE}: the frame is 64×64 and the picture 40×20"
        where = r"portraits:\w+:token: jobs/portraits\.yaml:\d+:\d+: derive\.token\.(steps\[1\]\.)?"
        assert re.search(where + what, run.out + run.err)
        assert "cut the picture to it first, with resize: {width: 20, height: 20, mode: fill}" in run.out + run.err
        assert "cannot be derived" not in run.out + run.err
        fixed = {"resize": {"width": 20, "height": 20, "mode": "fill"}}
        entry = derive["token"]
        entry |= {"steps": [entry["steps"][0], fixed, RING]} if "steps" in entry else fixed
        project.job(derive=derive)
        assert len(project.doit().tasks("derived")) == 3


def test_a_frame_that_a_job_writes_is_refused_whether_it_is_there_or_not(project: ProjectFolder) -> None:
    project.job("ring", items=[{"name": "R", "prompt": "a ring"}], derive={"x": {"steps": [{"mask": "circle"}]}})
    (project.root / "art").mkdir()
    (project.root / "art/link").symlink_to("../assets")
    hidden = [{"frame": "assets/ring/r-x.png"}, {"frame": {"image": "art/link/ring/R-x.png", "place": "under"}}]
    project.job(derive=token({"mask": "circle"}, *hidden))
    for _ in range(2):  # in a fresh clone, and once it is built
        run = project.doit()
        assert "steps[1].frame: assets/ring/r-x.png, which the job ring writes\n" in run.out
        assert "steps[2].frame: art/link/ring/R-x.png is assets/ring/r-x.png, which the job ring writes\n" in run.out
        assert len(re.findall(r"^jobs/portraits.yaml:\d+:\d+: derive.token.steps", run.out, re.MULTILINE)) == 2
        assert "there is no such file" not in run.out
    assert (project.root / "assets/ring/r-x.png").exists()

    (project.root / "jobs/portraits.yaml").unlink()
    project.job("ring", items=[{"name": "R", "prompt": "a ring"}], derive=token({"frame": "assets/ring/r-token.webp"}))
    (project.root / "assets/ring/r-token.webp").write_bytes((project.root / "assets/ring/r-x.png").read_bytes())
    assert "steps[0].frame: assets/ring/r-token.webp, which this job writes\n" in project.doit("why").out
