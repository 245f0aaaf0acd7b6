"""What a run does with the models that cut out, with one of them scripted."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from imagegen.backends.base import Cancelled, GenerationError
from imagegen.execute.cutouts import Cutouts
from tests.project_folder import ProjectFolder

STEPS = [("cutout", {"model": "u2net", "sha256": "0" * 64})]


class Model:
    """Finds the whole picture, and counts."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.loaded = self.asked = 0
        self.may_answer = threading.Event()

    def load(self, _: Path, like: str) -> Model:
        assert like == "u2net"
        self.loaded += 1
        return self

    def __call__(self, picture: Image.Image) -> Image.Image:
        self.asked += 1
        assert self.may_answer.wait(60)
        if self.error:
            raise self.error
        return Image.new("L", picture.size, 255)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    model = Model()
    monkeypatch.setattr("imagegen.execute.cutouts.load_model", model.load)
    monkeypatch.setattr("importlib.metadata.version", lambda _: "1.0")
    return model


def cutouts(tmp_path: Path, stop: threading.Event | None = None) -> Cutouts:
    return Cutouts(ProjectFolder(tmp_path).project(), lambda _: None, stop or threading.Event())


def test_files_of_one_image_at_the_same_time_ask_the_model_once(tmp_path: Path, model: Model) -> None:
    find = cutouts(tmp_path).find_with(STEPS)["u2net"]
    red, blue = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(find, picture, "") for picture in (red, red.copy(), blue, red.copy())]
        model.may_answer.set()
        assert {one.result().getextrema() for one in found} == {(255, 255)}
    assert (model.loaded, model.asked) == (1, 2)
    again = cutouts(tmp_path).find_with(STEPS)["u2net"]
    assert again(red, "").size == (4, 4)
    again(red.convert("RGBA"), "")
    assert (model.loaded, model.asked) == (2, 3)


def test_after_a_stop_the_model_is_asked_no_more(tmp_path: Path, model: Model) -> None:
    stop = threading.Event()
    find = cutouts(tmp_path, stop).find_with(STEPS)["u2net"]
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(find, Image.new("RGB", (4, 4), colour), "") for colour in ("red", "blue")]
        stop.set()
        model.may_answer.set()
        raised = [one.exception() for one in waiting]
    assert sum(isinstance(error, Cancelled) for error in raised) == 2 - model.asked
    with pytest.raises(Cancelled):
        find(Image.new("RGB", (4, 4), "green"), "")


def test_a_model_that_fails_is_named(tmp_path: Path, model: Model) -> None:
    model.error = RuntimeError("Got invalid dimensions\nfor input")
    model.may_answer.set()
    with pytest.raises(GenerationError) as caught:
        cutouts(tmp_path).find_with(STEPS)["u2net"](Image.new("RGB", (4, 4)), "")
    assert caught.value.problem.what.startswith("the model u2net does not work like u2net: RuntimeError: Got invalid")
