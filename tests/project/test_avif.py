"""A job wants AVIF, and this Pillow was built without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagegen.backends.placeholder import PlaceholderBackend
from imagegen.config.settings import Settings
from imagegen.images.avif import has_avif
from imagegen.project import Project, planner

JOB = "generate: {width: 64, height: 64}\nitems: [{name: a, prompt: b}]\n"


def problems(root: Path, keys: str) -> list[str]:
    (root / "jobs").mkdir()
    (root / "jobs/kin.yaml").write_text(JOB + keys)
    (plan,) = Project(root, Settings(), {"placeholder": PlaceholderBackend}).plans()
    return [str(problem) for problem in plan.problems]


def test_this_pillow_has_it() -> None:
    assert has_avif()


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ("output: {format: avif}\nderive: {t: {width: 8}}\n", "3:10: output.format"),
        ("derive: {t: {width: 8, format: avif}}\n", "3:24: derive.t.format"),
        ("sheet: {format: avif}\n", "3:9: sheet.format"),
    ],
)
def test_the_first_place_is_refused_before_anything_is_built(
    keys: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "has_avif", lambda: False)
    (problem,) = problems(tmp_path, keys)
    assert problem.startswith(f"jobs/kin.yaml:{where}: avif: this Pillow was built without AVIF")
    assert "or choose another format, such as webp" in problem


def test_other_formats_need_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "has_avif", lambda: False)
    assert problems(tmp_path, "output: {format: webp}\nsheet: {}\n") == []
