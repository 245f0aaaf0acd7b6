"""Models that steps name: problems are located before anything is built."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from imagegen.config.cutout_models import CUTOUT_MODELS
from imagegen.config.models import check_download_url, read_models
from imagegen.config.settings import Settings
from tests.project_folder import JOB, ProjectFolder


@pytest.mark.parametrize(
    ("step", "found"),
    [
        ("isnet-anim", "there is no model 'isnet-anim' to cut out with; did you mean 'isnet-anime'?"),
        ("lora", "there is no model 'lora' to cut out with"),
        ("own", "say which known model own works like"),
        ("weights", "the file of weights, weights.pth, is not an ONNX model"),
        ("{model: u2net, like: u2net}", "like is for a model that the project lists, not for u2net"),
        ("{model: own, like: isnet}", "'isnet' is not one of u2net, "),
        ("isnet-anime", ""),
        ("u2netp", ""),
        ("{model: own, like: u2net}", ""),
    ],
)
def test_a_model_that_cannot_be_used_is_located(tmp_path: Path, step: str, found: str) -> None:
    project = ProjectFolder(tmp_path)
    entry = {"url": "https://example.org/own.onnx", "folder": "cutout", "sha256": "0" * 64, "size": 9}
    weights = {**entry, "url": "https://example.org/weights.pth"}
    lora = {**entry, "folder": "loras", "name": "l.safetensors"}
    own_u2netp = {**entry, "name": "small.onnx"}
    table = {"own": entry, "weights": weights, "lora": lora, "u2netp": own_u2netp}
    project.settings = Settings(models=read_models(table))
    text = f"items: [{{name: A, prompt: a}}]\nbackend: scripted\nderive:\n  token: {{steps: [cutout: {step}]}}\n"
    project.write("jobs/portraits.yaml", text)
    (plan,) = project.project().plans()
    if not found:
        assert plan.problems == ()
        return
    (problem,) = plan.problems
    assert problem.where.startswith("jobs/portraits.yaml:4:")
    assert "derive.token.steps[0].cutout" in problem.what
    assert found in problem.what


def test_without_the_extra_what_needs_it_fails_and_what_is_made_from_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = ProjectFolder(tmp_path)
    monkeypatch.setattr("imagegen.execute.cutouts.is_installed", lambda: False)
    project.job(derive={"token": {"steps": ["cutout"]}, "thumb": {"width": 8}})
    child = {"name": "Child", "prompt": "a child", "scripted": {"images": {"face": "portraits:yrr:token"}}}
    project.job("others", derive={"thumb": {"width": 32}}, items=[*JOB["items"], child])
    found = project.build()
    assert {task for task, state in found.items() if state == "failed"} == {
        *(f"portraits:{name}:token" for name in ("mallsing", "yrr", "okka")),
        "others:child",
        "others:child:thumb",
    }
    assert set(project.calls()) == {"Mallsing", "Yrr", "Okka"}
    assert "jobs/portraits.yaml:17:" in project.report
    assert "derive.token.steps[0].cutout: needs the extra cutout, which is not installed" in project.report
    assert "others:child: not built, because portraits:yrr:token failed" in project.report
    assert f"{sys.executable} -m pip install 'doit-imagegen[cutout]'" in project.report


def test_known_models_could_be_listed() -> None:
    for name, model in CUTOUT_MODELS.items():
        entry = {"url": model.url, "folder": model.folder, "name": model.name, "sha256": model.sha256}
        (read,) = read_models({name: {**entry, "size": model.size, "licence": model.licence}})
        assert (read, check_download_url(model.url)) == (model, model.url)
