"""The step `cutout`: the model is pulled, loaded once, and looks at each image once; only what needs it fails."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.backends.file_server import DATA, FileServer, Served, file_server
from tests.fake_rembg import write_rembg
from tests.project_folder import ProjectFolder

TASKS = ["portraits:mallsing", "portraits:okka", "portraits:yrr"]


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as server:
        server.files["/own.onnx"] = Served()
        yield server


@pytest.fixture
def studio(project: ProjectFolder, server: FileServer) -> ProjectFolder:
    """A project that lists a model of its own, with rembg."""
    project.environment |= write_rembg(project.root / "packages")
    list_model(project, server, hashlib.sha256(DATA).hexdigest())
    return project


def list_model(project: ProjectFolder, server: FileServer, sha256: str) -> None:
    project.write(
        "pyproject.toml",
        f'[tool.imagegen.models.own]\nurl = "{server.url}/own.onnx"\nfolder = "cutout"\nsha256 = "{sha256}"\n'
        f"size = {len(DATA)}\n",
    )


def derive(*later: Any, model: str = "own", **more: Any) -> dict[str, Any]:
    cutout = {"cutout": {"model": model, "like": "isnet-anime"}}
    return {"token": {"steps": [cutout, "trim", *later]}, "thumb": {"steps": [cutout]}, **more}


def noted(project: ProjectFolder) -> Counter[str]:
    log = Path(project.environment["REMBG_LOG"])
    return Counter(line.split()[0] for line in log.read_text().splitlines()) if log.exists() else Counter()


def test_a_model_is_loaded_once_and_looks_at_each_image_once(studio: ProjectFolder) -> None:
    studio.job(derive=derive())
    run = studio.doit()
    assert (run.code, len(run.tasks("generated")), len(run.tasks("failed"))) == (1, 3, 6)
    for out in (run.out, studio.doit().out):  # and of a job that is planned in part
        what = r"jobs/portraits.yaml:\d+:\d+: derive.token.steps\[0\].cutout: the model own is not here"
        assert len(re.findall(what, out)) == 1
        assert "doit models:pull own  (3 MB, licence: unknown)" in out
    assert "derive.token.steps[0].cutout: the model own is not here" in studio.doit("doctor").out

    assert studio.doit("models:pull", "own").code == 0
    run = studio.doit()
    assert run.code == 0, run.out + run.err
    assert "6 derived" in run.closing
    assert noted(studio) == {"load": 1, "predict": 3}
    with Image.open(studio.image("yrr-token")) as token, Image.open(studio.image("yrr-thumb")) as thumb:
        assert (token.mode, token.size, thumb.size) == ("RGBA", (48, 32), (64, 64))
        assert (token.getchannel("A").getpixel((24, 16)), token.getchannel("A").getpixel((0, 0))) == (255, 0)
    recipe = {"model": "own", "sha256": hashlib.sha256(DATA).hexdigest(), "like": "isnet-anime"}
    (line,) = (line for line in studio.lines() if line["output"] == "yrr:token")
    assert line["request"]["derive_steps"][0] == ["cutout", recipe]
    assert "9 fresh, nothing to do" in studio.doit().closing

    steps = [{"cutout": {"model": "own", "like": "isnet-anime"}}, {"resize": {"width": 8}}]
    studio.job(derive=derive({"mask": "circle"}, icon={"steps": steps}))
    run = studio.doit()
    assert (len(run.tasks("derived")), run.code) == (6, 0)
    assert noted(studio) == {"load": 1, "predict": 3}


def test_a_preset_cuts_out_with_a_model_in_place_of_a_colour_key(studio: ProjectFolder) -> None:
    assert studio.doit("models:pull").code == 0
    small = {"resize": {"width": 40, "height": 40}}
    cutout = {"model": "own", "like": "isnet-anime"}
    run = studio.build_job(derive={"sticker": {"preset": "sticker", "cutout": cutout, **small}})
    assert (run.code, len(run.tasks("derived"))) == (0, 3), run.out
    with Image.open(studio.image("yrr-sticker", ".webp")) as image:
        assert (image.mode, image.convert("RGBA").getpixel((0, 0))[3]) == ("RGBA", 0)


def test_another_model_makes_it_stale_and_says_which(studio: ProjectFolder, server: FileServer) -> None:
    assert studio.doit("models:pull").code == 0
    studio.build_job(derive=derive())
    list_model(studio, server, "0" * 64)
    out = studio.doit("why", "portraits:yrr:token").out
    assert "steps.cutout (1).sha256" in out
    run = studio.doit()
    assert "tools/models/cutout/own.onnx is not the model own" in run.out
    assert len(studio.files()) == 9
    (studio.root / "tools/models/cutout/own.onnx").unlink()
    run = studio.doit("models:pull", "own")
    assert (run.code, "0000 is expected; it is not kept" in run.out + run.err) == (1, True)


def test_an_image_in_which_the_model_finds_nothing_is_an_error(studio: ProjectFolder) -> None:
    assert studio.doit("models:pull").code == 0
    studio.touch_up("yrr", "black")
    studio.job(derive=derive(), output={"overwrite": "never"})
    run = studio.doit()
    assert run.tasks("failed") == ["portraits:yrr:thumb", "portraits:yrr:token"]
    assert "cutout: not possible with assets/portraits/yrr.png: the model finds nothing in the image" in run.out
