"""One seed gives the same pixels by each API of the real `sd-server`: its own, A1111's and OpenAI's.

SD_SERVER names the program, and SD_MODEL a checkpoint of SD 1.x for it. It takes minutes: pytest -m long -s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.backends.sd.model_files import write_model
from tests.backends.sd.real_server import MODEL, PROGRAM, RealSd
from tests.project_folder import ProjectFolder

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not (PROGRAM and MODEL), reason="SD_SERVER and SD_MODEL name no real sd-server and model"),
    pytest.mark.xdist_group("real sd-server"),
]

ITEMS: list[dict[str, Any]] = [
    {"name": "plain", "prompt": "a cat", "seed": 42},
    {"name": "full", "prompt": "a cat", "seed": 42, "negative": "dog", "sampler": "euler", "scheduler": "karras"},
    {"name": "other", "prompt": "a cät, “quoted”", "seed": 2**31 - 1, "negative": "dög", "sampler": "dpm++2m"},
]
SECTIONS: dict[str, dict[str, Any]] = {
    "init": {"images": {"init": "red.png"}, "strength": 0.6},
    "lora": {"loras": {"tint.safetensors": 50}},
}
"""Of the items that OpenAI's API has nothing for."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealSd]:
    made = RealSd(tmp_path / "sd")
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def project(tmp_path: Path, server: RealSd) -> ProjectFolder:
    """A project with the three backends at one server, which the user started."""
    project = ProjectFolder(tmp_path / "project")
    project.patience_s = server.patience_s
    models = project.root / "tools/models"
    server.write_model(models / "checkpoints/one.safetensors", "one")
    write_model(models / "loras/tint.safetensors", "lora")
    Image.new("RGB", (64, 64), "red").save(project.root / "red.png")
    words = ["--model", str(models / "checkpoints/one.safetensors"), "--lora-model-dir", str(models / "loras")]
    url = server.start(*words, "--lora-apply-mode", "at_runtime")
    project.write(
        "pyproject.toml",
        f"""[tool.imagegen]
sd.server.url = '{url}'
a1111.server.url = '{url}'
openai.server.url = '{url}/v1'
openai.dialect = 'sdcpp'
""",
    )
    generate = {"width": 64, "height": 64, "steps": 2, "cfg": 7.0}
    plain = {"generate": generate, "items": ITEMS}
    others = [{"name": name, "prompt": "a cat", "seed": 42, "sd": own, "a1111": own} for name, own in SECTIONS.items()]
    more = {"generate": generate, "items": [*ITEMS, *others]}
    project.job("own", **{**more, "backend": "sd", "sd": {"model": "one.safetensors"}, "scripted": {}})
    project.job("a1111", **{**more, "backend": "a1111", "scripted": {}})
    project.job("openai", **{**plain, "backend": "openai", "scripted": {}})
    return project


def pixels(project: ProjectFolder, job: str, name: str) -> str:
    with Image.open(project.image(name, job=job)) as image:
        return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()


def test_one_seed_gives_the_same_pixels_by_each_api(project: ProjectFolder) -> None:
    run = project.doit()
    assert run.code == 0, run.out + run.err
    seen = {
        name: {job: pixels(project, job, name) for job in ("own", "a1111", "openai")}
        for name in (item["name"] for item in ITEMS)
    }
    seen |= {name: {job: pixels(project, job, name) for job in ("own", "a1111")} for name in SECTIONS}
    for name, found in seen.items():
        print(name, found)
    assert [len({*found.values()}) for found in seen.values()] == [1] * 5
    assert len({digest for found in seen.values() for digest in found.values()}) == 5
