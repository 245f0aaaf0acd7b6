"""`doit preview`, with the real doit: small pictures that touch neither an output nor a lock file."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.project_folder import JOB, ProjectFolder

BIG = {**JOB, "generate": {"width": 1024, "height": 768, "steps": 20}}


def committed(project: ProjectFolder) -> dict[str, bytes]:
    """Return the files that git would have."""
    found = [path for folder in ("assets", "jobs") for path in (project.root / folder).rglob("*") if path.is_file()]
    return {path.relative_to(project.root).as_posix(): path.read_bytes() for path in found}


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        width, height = image.size
        return width, height


def test_it_is_small_is_generated_once_and_replaces_nothing(project: ProjectFolder) -> None:
    project.job(**BIG, derive={"thumb": {"width": 16}})
    project.script(prices={"*": "0.01"})
    doit = project.doit
    before = committed(project)
    run = doit("preview", "portraits", "-n", "--json")
    assert [one["state"] for one in run.result["images"]] == ["planned"] * 3
    assert run.result["forecast"]["price"] == 0.03
    assert project.calls() == []
    run = doit("preview", "--limit", "2", "--json")
    first, second = sorted(run.result["images"], key=lambda one: one["task"])
    assert (first["image"], first["width"], first["height"], first["steps"]) == ("portraits:mallsing", 512, 384, 8)
    assert size(project.root / first["path"]) == (512, 384)
    assert second["image"] == "portraits:yrr"
    assert (run.result["left"], run.result["cost"]["spent"]) == (1, 0.02)
    run = doit("preview", "portraits")
    assert (run.tasks("generated"), run.tasks("fresh")) == (
        ["preview/portraits:okka"],
        ["preview/portraits:mallsing", "preview/portraits:yrr"],
    )
    assert run.closing == "3 previews in .imagegen/preview/portraits"
    assert committed(project) == before
    seed = doit("why", "portraits:mallsing", "--json").result["images"][0]["seed"]
    assert seed == first["seed"]
    assert len(doit().tasks("generated")) == 3
    assert doit("preview").out.startswith("nothing to preview")
    assert len(doit("-a", "preview", "portraits:yrr").tasks("generated")) == 1

    project.job(**BIG | {"items": JOB["items"][:1]})
    assert doit("prune", "--yes").out.count("the image or the job that it previews is gone") == 2
    assert (project.root / first["path"]).exists()
    (project.root / "jobs/portraits.yaml").unlink()
    doit("prune", "--yes")
    assert [path for path in (project.root / ".imagegen/preview").rglob("*") if path.is_file()] == []


def test_an_image_that_is_as_small_is_taken_over_by_the_run(project: ProjectFolder) -> None:
    project.job(generate={"width": 64, "height": 64, "steps": 4})
    project.script(acts={"Yrr": [{"error": "no luck"}]})
    doit = project.doit
    for words, message in (
        (["portrait"], "'portrait' is not a job, an image or a derived file; did you mean 'portraits'?"),
        (["--limit=0"], "--limit: expected none or a whole number from 1, found '0'"),
    ):
        run = doit("preview", *words)
        assert (run.code, message in run.out) == (2, True)
    assert project.calls() == []
    run = doit("preview", "portraits:yrr", "--json")
    assert (run.code, run.result["notes"]) == (1, [])
    project.script(acts={"Yrr": [{"error": "no such size"}]})
    run = doit("preview", "portraits:yrr", "--json")
    assert (run.code, run.result["images"][0]["state"]) == (1, "failed")
    assert run.result["images"][0]["problems"][0]["what"] == "no such size"
    assert "doit --limit 1 portraits:yrr builds the first image itself" in run.result["notes"][0]
    project.script()
    assert len(doit("preview").tasks("generated")) == 3
    assert len(doit().tasks("restored")) == 3
    assert len(project.calls()) == 3


def test_what_is_made_from_a_stale_image_is_made_from_its_preview(project: ProjectFolder) -> None:
    project.job(**BIG)
    child = {"name": "child", "prompt": "a child", "scripted": {"images": {"face": "portraits:mallsing"}}}
    project.job("children", **BIG | {"items": [child]})
    run = project.doit("preview", "children")
    assert run.tasks("generated") == ["preview/children:child", "preview/portraits:mallsing"]
    assert not (project.root / "assets").exists()
