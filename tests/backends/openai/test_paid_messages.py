"""What is said of images that cost something: which price is missing, and what is odd about an image."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.backends.openai.fake_openai import FakeOpenAI, Fault
from tests.backends.openai.fake_programs import Answer
from tests.backends.openai.project import OpenAIProject

ONE = [{"name": "fox", "prompt": "a fox"}]


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI("hosted", key="sk-paid-for-0001") as fake:
        yield fake


@pytest.fixture
def project(fake: FakeOpenAI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenAIProject:
    project = OpenAIProject(tmp_path / "project", fake, monkeypatch)
    project.settings_file(dialect="hosted")
    return project


@pytest.mark.parametrize(("quality", "entry"), [("high", "gpt-image-2 high 1024x640"), ("", "gpt-image-2 1024x640")])
def test_the_entry_is_named_that_gives_the_price(project: OpenAIProject, quality: str, entry: str) -> None:
    project.settings_file(dialect="hosted", budget="5")
    section = {"model": "gpt-image-2", **({"quality": quality} if quality else {})}
    project.job(items=ONE, openai=section)
    project.build()
    line = f'openai.prices."{entry}" = DOLLARS'
    assert f"add its price below [tool.imagegen] in pyproject.toml: {line}" in project.report
    project.settings_file({entry: "0.01"}, dialect="hosted", budget="5")
    assert project.build() == {"portraits:fox": "generated"}, project.report


def test_an_image_of_one_colour_is_used_and_said(project: OpenAIProject, fake: FakeOpenAI) -> None:
    file = io.BytesIO()
    Image.new("RGB", (1024, 640)).save(file, "png")
    said = {"data": [{"b64_json": base64.b64encode(file.getvalue()).decode()}]}
    fake.faults.append(Fault(Answer(200, said), makes=True))
    project.job(items=ONE)
    assert project.build() == {"portraits:fox": "generated"}, project.report
    assert "the image is of one flat colour, #000000: used all the same" in project.notes["portraits:fox"]
    assert project.build() == {}


def test_no_seed_is_shown_that_decides_nothing(project: OpenAIProject, fake: FakeOpenAI) -> None:
    project.job(items=ONE, generate={"width": 1024, "height": 640, "seed": {"mode": "random"}})
    assert "seed" not in project.doit("why").out
    assert project.build() == {"portraits:fox": "generated"}, project.report
    assert "seed" not in project.notes["portraits:fox"]
    image = project.doit("image", "--backend=openai", "--model=gpt-image-2", "--prompt", "a raven")
    assert image.code == 0, image.out + image.err
    assert "seed" not in image.out
    assert fake.prompts == ["a fox", "a raven"]
