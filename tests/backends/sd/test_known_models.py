from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

import pytest

from imagegen.backends.sd.files import KINDS
from imagegen.backends.sd.image import effective_fields
from imagegen.backends.sd.known_models import KNOWN_MODELS, KnownFile, KnownModel, suggest_model
from imagegen.backends.sd.section import PARTS
from imagegen.config.models import read_models
from imagegen.plan.request import Request

GIB = 1024**3
ALL = pytest.mark.parametrize("model", KNOWN_MODELS.values(), ids=list(KNOWN_MODELS))


def files() -> list[KnownFile]:
    return [file for model in KNOWN_MODELS.values() for file in model.parts.values()]


@ALL
def test_each_names_files_that_the_backend_takes_and_finds(model: KnownModel) -> None:
    assert set(model.parts) <= set(PARTS)
    assert ("model" in model.parts) != ("diffusion_model" in model.parts)
    for part, file in model.parts.items():
        assert file.folder in KINDS[part]
        assert "/" not in file.name


@ALL
def test_each_file_is_pinned_and_can_be_listed_in_pyproject_toml(model: KnownModel) -> None:
    for file in model.parts.values():
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert re.fullmatch("[0-9a-f]{40}", file.revision)
        entry = {key: value for key, value in asdict(file).items() if key in ("repo", "file", "revision", "folder")}
        (listed,) = read_models({file.key: entry | {"sha256": file.sha256, "size": file.size}})
        assert (listed.name, listed.least, listed.most) == (file.name, file.size, file.size)
        assert re.fullmatch("[a-z0-9-]+", file.key)  # needs no quotes in TOML


def test_a_file_of_two_models_has_one_entry_and_no_two_files_are_mixed_up() -> None:
    for of in (lambda file: file.key, lambda file: file.sha256, lambda file: (file.folder, file.name.lower())):
        assert len({of(file) for file in files()}) == len(set(files())) < len(files())


@ALL
def test_each_says_what_a_person_wants_to_know_before_a_download(model: KnownModel) -> None:
    assert KNOWN_MODELS[model.name] is model
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", model.name)
    assert model.page.startswith("https://huggingface.co/")
    assert model.licence
    assert "GPU" in model.seconds
    assert "CPU" in model.seconds
    assert model.bytes == sum(file.size for file in model.parts.values())
    assert model.bytes < model.memory < 2 * model.bytes


def test_the_smallest_comes_first() -> None:
    sizes = [model.bytes for model in KNOWN_MODELS.values()]
    assert sizes == sorted(sizes)


@ALL
def test_each_has_settings_that_the_engine_takes_as_they_are(model: KnownModel) -> None:
    assert model.width % 64 == model.height % 64 == 0
    assert model.is_distilled == (model.cfg == 1)
    assert 1 <= model.steps <= 50


def request(model: str, **fields: Any) -> Request:
    return Request(backend="sd", name="Rope", prompt="a rope", model=model, given=tuple(sorted(fields)), **fields)


@ALL
def test_what_the_job_does_not_give_is_the_models_own(model: KnownModel) -> None:
    found = effective_fields(request(model.name))
    assert (found.steps, found.cfg, found.width, found.height) == (model.steps, model.cfg, model.width, model.height)
    assert found.sampler == model.sampler


def test_what_the_job_gives_counts_but_a_distilled_model_takes_no_cfg() -> None:
    given = {"steps": 3, "cfg": 4.0, "sampler": "dpm2", "negative": "text"}
    lcm = effective_fields(request("dreamshaper-8-lcm", **given))
    assert (lcm.steps, lcm.cfg, lcm.sampler, lcm.negative) == (3, 4.0, "dpm2", "text")
    turbo = effective_fields(request("sd-turbo", **given))
    assert (turbo.steps, turbo.cfg, turbo.sampler, turbo.negative) == (3, 1.0, "dpm2", "")


@pytest.mark.parametrize(
    ("memory", "device", "name"),
    [
        (0, "", "sd-turbo"),
        (64 * GIB, "", "sd-turbo"),
        (64 * GIB, "cpu", "sd-turbo"),
        (0, "vulkan", "sd-turbo"),
        (4 * GIB, "cuda", "sd-turbo"),
        (8 * GIB, "cuda", "sd-turbo"),
        (8 * GIB, "metal", "sd-turbo"),
        (12 * GIB - GIB // 8, "cuda", "flux2-klein-4b"),
        (12 * GIB, "vulkan", "flux2-klein-4b"),
        (16 * GIB, "rocm", "flux2-klein-4b"),
        (16 * GIB, "metal", "flux2-klein-4b"),
    ],
)
def test_the_model_suits_the_machine(memory: int, device: str, name: str) -> None:
    assert suggest_model(memory, device) == name
