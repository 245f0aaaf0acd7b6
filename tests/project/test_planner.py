"""Two jobs that would write the same files: the copy is reported, and the original goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagegen.backends.placeholder import PlaceholderBackend
from imagegen.config.settings import Settings
from imagegen.project import Project

__all__ = []


JOB = "generate: {width: 64, height: 64}\nitems: [{name: a, prompt: b}, {name: c, prompt: d}]\noutput: {dir: assets/kin}\n"


def broken(root: Path, *names: str, locked: tuple[str, ...] = ()) -> dict[str, str]:
    (root / "jobs").mkdir()
    for name in names:
        (root / "jobs" / f"{name}.yaml").write_text(JOB)
    for name in locked:
        (root / "jobs" / f"{name}.lock").touch()
    plans = Project(root, Settings(), {"placeholder": PlaceholderBackend}).plans()
    return {plan.name: plan.problems[0].what for plan in plans if plan.problems}


@pytest.mark.parametrize(
    "copy", ["kin-DESKTOP-A1B2C3", "Copy of kin", "kin (1)", "kin-copy", "kin.sync-conflict-1-2-A"]
)
def test_an_evident_copy_is_refused_and_the_original_is_built(tmp_path: Path, copy: str) -> None:
    what = "looks like a copy of jobs/kin.yaml that a sync tool or a file manager made"
    assert broken(tmp_path, "kin", copy) == {copy: what}


def test_of_other_jobs_the_one_that_has_built_nothing_is_refused(tmp_path: Path) -> None:
    assert list(broken(tmp_path, "aaa", "kin", locked=("kin",))) == ["aaa"]


def test_with_three_of_them_two_originals_are_not_both_built(tmp_path: Path) -> None:
    assert list(broken(tmp_path, "aaa", "kin", "zoo", locked=("kin", "zoo"))) == ["aaa", "zoo"]


def test_where_nothing_tells_the_later_one_is_refused(tmp_path: Path) -> None:
    assert list(broken(tmp_path, "aaa", "kin")) == ["kin"]
