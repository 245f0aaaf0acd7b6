"""What an output says of itself, wherever it goes."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from tests.images.pictures import read
from tests.project_folder import ProjectFolder

SUFFIX = {"png": ".png", "webp": ".webp", "jpeg": ".jpg", "avif": ".avif"}
SOURCE_TYPE = b"trainedAlgorithmicMedia"


@pytest.mark.parametrize("kind", SUFFIX)
def test_images_carry_their_request_and_no_name_path_or_time(project: ProjectFolder, kind: str) -> None:
    project.script(digest="abcd")
    project.build_job(output={"format": kind})
    data = project.image("yrr", SUFFIX[kind]).read_bytes()
    record: dict[str, Any] | None = read(data)
    (line,) = (line for line in project.lines() if line["output"] == "yrr")
    assert record == {
        "imagegen": 1, "request": line["request"], "model_digest": "abcd", "backend_version": "1",
    }  # fmt: skip
    assert b"Yrr" not in data
    assert b"2026" not in data
    assert SOURCE_TYPE in data


@pytest.mark.parametrize("kind", SUFFIX)
def test_placeholders_are_not_marked_as_a_models_work(project: ProjectFolder, kind: str) -> None:
    project.build_job(backend="placeholder", output={"format": kind})
    data = project.image("yrr", SUFFIX[kind]).read_bytes()
    record = read(data)
    assert record is not None
    assert "name" not in record["request"]
    assert SOURCE_TYPE not in data


def test_the_parameters_are_where_web_interfaces_look_for_them(project: ProjectFolder) -> None:
    project.build_job(generate={"width": 64, "height": 64, "negative": "hands"})
    with Image.open(project.image("yrr")) as image:
        text = image.info["parameters"]
    assert text.splitlines()[:2] == ["a small figure", "Negative prompt: hands"]
    assert "Steps: 20, Sampler: euler" in text


@pytest.mark.parametrize("kind", SUFFIX)
def test_metadata_none_leaves_it_all_out(project: ProjectFolder, kind: str) -> None:
    project.build_job(output={"format": kind, "metadata": "none"})
    data = project.image("yrr", SUFFIX[kind]).read_bytes()
    assert read(data) is None
    assert b"small figure" not in data
