"""Pictures that are already there, as items of a job."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.project_folder import ProjectFolder, picture

THUMB = {"thumb": {"width": 8}}


@pytest.fixture
def scans(project: ProjectFolder) -> ProjectFolder:
    """A project with three scans and a job for them."""
    (project.root / "jobs/portraits.yaml").unlink(missing_ok=True)
    for name, colour in (("Old Tom.png", "red"), ("b-10.jpg", "green"), ("b-2.PNG", "blue")):
        scan(project, name, colour)
    job(project, "art/scans/*", derive=THUMB)
    return project


def scan(project: ProjectFolder, name: str, colour: str = "red") -> Path:
    file = project.root / "art/scans" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(picture(colour, kind="jpeg" if name.endswith("jpg") else "png"))
    os.utime(file, ns=(10**18 + file.stat().st_ino, 10**18 + file.stat().st_ino))
    return file


def job(project: ProjectFolder, folder: str, name: str = "scans", prompt: str = "", **values: Any) -> None:
    items = {"folder": folder, **({"prompt": prompt} if prompt else {})}
    project.write(f"jobs/{name}.json", json.dumps({"items": items, **values}))


def test_files_are_derived_from_pictures_that_nobody_generated(scans: ProjectFolder) -> None:
    before = {file: file.read_bytes() for file in (scans.root / "art").rglob("*.*")}
    run = scans.doit(IMAGEGEN_BACKEND="scripted")
    assert run.tasks("derived") == ["scans:b-10:thumb", "scans:b-2:thumb", "scans:old-tom:thumb"]
    assert not scans.calls()
    with Image.open(scans.root / "assets/scans/old-tom-thumb.png") as image:
        assert (image.size, image.convert("RGB").getpixel((4, 4))) == ((8, 8), (255, 0, 0))
    assert "3 fresh, nothing to do" in scans.doit().closing
    assert "3 derived files: 3 fresh" in scans.doit("doctor").out
    assert before == {file: file.read_bytes() for file in (scans.root / "art").rglob("*.*")}


def test_a_changed_a_new_and_a_removed_file_are_noticed(scans: ProjectFolder) -> None:
    scans.doit()
    assert scans.is_short()
    scan(scans, "Old Tom.png", "yellow")
    assert (
        "scans:old-tom:thumb  assets/scans/old-tom-thumb.png  (art/scans/Old Tom.png changed)" in scans.doit("why").out
    )
    run = scans.doit()
    assert run.tasks("derived") == ["scans:old-tom:thumb"]
    assert "(art/scans/Old Tom.png changed)" in run.out
    scan(scans, "new.png", "pink")
    assert scans.doit().tasks("derived") == ["scans:new:thumb"]
    (scans.root / "art/scans/new.png").unlink()
    assert "3 fresh" in scans.doit().closing
    assert "assets/scans/new-thumb.png" in scans.doit("prune", "--yes").out
    assert not (scans.root / "assets/scans/new-thumb.png").exists()
    assert "3 fresh, nothing to do" in scans.doit().closing


def test_a_sheet_shows_the_files_in_the_order_in_which_people_count(scans: ProjectFolder) -> None:
    job(scans, "art/scans/*", sheet={"cell": 8})
    assert scans.doit().tasks("derived") == ["scans:sheet", "scans:sheet:index"]
    index = json.loads((scans.root / "assets/scans/sheet.json").read_text())
    assert list(index["frames"]) == ["b-2", "b-10", "old-tom"]
    scan(scans, "b-2.PNG", "yellow")
    run = scans.doit()
    assert run.tasks("derived") == ["scans:sheet", "scans:sheet:index"]
    assert "(art/scans/b-2.PNG changed)" in run.out
    (scans.root / "art/scans/b-2.PNG").unlink()
    assert "scans:b-2 left out" in scans.doit("why").out


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("art/scan/*.png", {"derive": THUMB}, "there is no folder 'art/scan'; did you mean 'scans'?"),
    ("art/*.png", {"derive": THUMB}, "'art/*.png' matches no file"),
    ("notes/", {"derive": THUMB}, "'notes/' matches no image, but notes/a.txt"),
    (
        "art/**",
        {"derive": THUMB, "output": {"dir": "art/out"}},
        "also matches what this job writes, such as art/out/",
    ),
    ("art/scans/", {}, "nothing is made from these files"),
    ("art/scans/", {"derive": THUMB, "variants": 2}, "variants: has no effect"),
    ("art/scans/", {"derive": THUMB, "backend": "scripted"}, "backend: has no effect"),
    ("art/scans/", {"derive": THUMB, "source": "a.csv"}, "source: cannot be combined with items.folder"),
    ("art/a**/", {"derive": THUMB}, "** stands for folders"),
    ("art\\scans\\*.png", {"derive": THUMB}, "use / between folders"),
    ("../*.png", {"derive": THUMB}, "is outside the project"),
    ("", {"derive": THUMB}, "items.folder: is empty"),
    (".imagegen/store/**", {"derive": THUMB}, "this folder is not for images"),
]


def test_what_is_wrong_is_located_and_nothing_is_built(scans: ProjectFolder) -> None:
    """Each in a job of its own: all of it is said at once."""
    scans.write("notes/a.txt", "no image")
    scans.write("a.csv", "name,prompt\na,b\n")
    (scans.root / "jobs/scans.json").unlink()
    for number, (folder, values, _) in enumerate(WRONG):
        job(scans, folder, f"wrong-{number}", **values)
    run = scans.doit()
    assert run.code != 0
    said = [line for line in run.out.splitlines() if line.startswith("jobs/wrong-")]
    for number, (*_, words) in enumerate(WRONG):
        assert any(line.startswith(f"jobs/wrong-{number}.json:1:") and words in line for line in said), (words, run.out)
    assert not (scans.root / "assets").exists()


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("x.png", b"", "art/scans/x.png: not an image (it is empty)"),
        ("x.jpg", b"GIF89a....", "art/scans/x.jpg: not a PNG, WebP, AVIF or JPEG image, but a GIF image"),
        (
            "old_tom.webp",
            picture("red", kind="webp"),
            "art/scans/Old Tom.png and art/scans/old_tom.webp would both be named 'old-tom'",
        ),
    ],
)
def test_a_file_that_cannot_be_an_item_is_named(scans: ProjectFolder, name: str, data: bytes, said: str) -> None:
    (scans.root / "art/scans" / name).write_bytes(data)
    run = scans.doit()
    assert said in run.out
    assert not (scans.root / "assets").exists()


def test_a_damaged_image_fails_alone(scans: ProjectFolder) -> None:
    (scans.root / "art/scans/x.png").write_bytes(picture()[:40])
    run = scans.doit()
    assert (run.tasks("failed"), len(run.tasks("derived"))) == (["scans:x:thumb"], 3)
    assert "art/scans/x.png" in run.out


def test_files_that_another_job_writes_are_refused(scans: ProjectFolder) -> None:
    scans.job()
    scans.doit("portraits")
    job(scans, "assets/portraits/*.png", "others", derive=THUMB)
    what = (
        "items.folder: 'assets/portraits/*.png' matches assets/portraits/mallsing.png, which the job portraits writes"
    )
    for _ in range(2):
        assert re.search(rf"jobs/others.json:\d+:\d+: {re.escape(what)}", scans.doit("others").out)


def test_a_link_hides_no_circle(scans: ProjectFolder) -> None:
    (scans.root / "assets").mkdir()
    (scans.root / "assets/scans").symlink_to(scans.root / "art/scans")
    assert "also matches what this job writes, such as assets/scans/b-2-thumb.png" in scans.doit().out
    assert len(list((scans.root / "art/scans").iterdir())) == 3


def test_what_is_left_out_is_named_once(scans: ProjectFolder) -> None:
    scans.write("art/scans/notes.txt", "words")
    scans.write("art/scans/.hidden.png", "words")
    assert "scans: items.folder leaves out art/scans/notes.txt" in scans.doit().out
    assert "leaves out" not in scans.doit().out


def test_commands_that_need_an_image_say_what_there_is_instead(scans: ProjectFolder) -> None:
    scans.doit()
    assert "it is derived from art/scans/Old Tom.png" in scans.doit("reroll", "scans:old-tom:thumb").out
    assert "it is derived from art/scans/Old Tom.png" in scans.doit("pick", "scans:old-tom:thumb", "--variant", "1").out
    run = scans.doit("image", "--prompt", "a raven", "--save", "jobs/scans.json")
    assert "its items are the files of a folder" in run.out + run.err
    assert "3 intact" in scans.doit("verify").out
    assert scans.doit("gallery").code == 0


def test_an_item_is_not_pruned_even_if_a_job_wrote_it_once(scans: ProjectFolder) -> None:
    scans.job()
    scans.doit("portraits")
    scans.job(output={"dir": "assets/new"})
    job(scans, "assets/portraits/*.png", "others", derive=THUMB)
    scans.doit()
    assert "an item of the job others" in scans.doit("prune", "--yes").out
    assert (scans.root / "assets/portraits/mallsing.png").exists()


FROM_FILE: dict[str, Any] = {
    "scripted": {"images": {"face": "{file}"}},
    "backend": "scripted",
    "generate": {"width": 16, "height": 16},
}


def test_with_a_prompt_each_file_becomes_an_image(scans: ProjectFolder) -> None:
    job(scans, "art/scans/", prompt="in {mood} mood", matrix={"mood": ["calm", "wild"]}, derive=THUMB, **FROM_FILE)
    run = scans.doit()
    images = [f"scans:{name}-{mood}" for name in ("b-10", "b-2", "old-tom") for mood in ("calm", "wild")]
    assert (run.tasks("generated"), len(run.tasks("derived"))) == (images, 6)
    lines = {line["output"]: line["request"] for line in scans.lines("scans") if ":" not in line["output"]}
    shas = {slug: request["images"]["face"] for slug, request in lines.items()}
    wanted = hashlib.sha256((scans.root / "art/scans/b-2.PNG").read_bytes()).hexdigest()
    assert (shas["b-2-calm"], len(set(shas.values()))) == (wanted, 3)
    assert {request["prompt"] for request in lines.values()} == {"in calm mood", "in wild mood"}
    assert scans.is_short()
    scan(scans, "b-2.PNG", "pink")
    assert scans.doit().tasks("generated") == ["scans:b-2-calm", "scans:b-2-wild"]
    assert "scans: 2" not in scans.doit("doctor").out


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"backend": "placeholder"}, "no option of placeholder has {file} in it"),
        ({"backend": "sd", "sd": {"model": "x"}}, 'add sd: {images: {init: "{file}"}}'),
        ({"backend": "a1111"}, 'add a1111: {images: {init: "{file}"}}'),
        ({"backend": "comfyui"}, 'add comfyui: {images: {"10.image": "{file}"}}'),
        ({"backend": "openai"}, "choose a backend that takes images, such as sd, a1111 or comfyui"),
        ({**FROM_FILE, "scripted": {"images": {"face": "{file}.png"}}}, "there is no such file"),
    ],
)
def test_a_prompt_without_the_file_is_refused_with_what_to_write(
    scans: ProjectFolder, values: dict[str, Any], said: str
) -> None:
    job(scans, "art/scans/", prompt="an oil painting", **values)
    out = scans.doit().out
    assert said in out, out
    assert "jobs/scans.json:1:" in out
    assert not (scans.root / "assets").exists()


def test_a_word_for_a_file_is_refused_where_items_are_no_files(scans: ProjectFolder) -> None:
    image = {"images": {"init": "{file}"}}
    scans.job("own", items=[{"name": "A", "prompt": "a", "a1111": image}])
    scans.job("all", items=[{"name": "A", "prompt": "a"}], backend="sd", sd=image)
    out = scans.doit("why").out
    for key in ("a1111.images.init", "sd.images.init"):
        said = f"{key}: {{file}} stands for a file of items.folder, which this job does not have"
        assert re.findall(rf"(jobs/\w+.\w+:\d+:\d+): {key}", out), out
        assert said in out
    assert "there is no such file" not in out
