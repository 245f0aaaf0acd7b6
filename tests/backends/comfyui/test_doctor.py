from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from imagegen.backends.base import Diagnosis
from imagegen.backends.comfyui.doctor import diagnose_installation
from imagegen.backends.comfyui.environment import VENV
from imagegen.backends.comfyui.install import Checkout, setup, update_checkout
from imagegen.backends.models import FOLDER
from imagegen.config.settings import Settings
from tests.backends.comfyui.upstream import Upstream, git


def rows(root: Path, settings: Settings) -> dict[str, Diagnosis]:
    before = sorted(root.rglob("*"))
    found = {row.what: row for row in diagnose_installation(root, settings)}
    assert sorted(root.rglob("*")) == before, "it changes nothing"
    return found


def test_where_nothing_is_set_up_it_says_how_to(root: Path, settings: Settings) -> None:
    found = rows(root, settings)
    assert found["git"].ok
    assert found["Python for ComfyUI"].found.endswith(f"({settings.comfyui_python})")
    assert found["ComfyUI"] == Diagnosis(False, "ComfyUI", "not installed, in tools/ComfyUI", "doit comfyui:setup")
    assert "ComfyUI's venv" not in found


def test_a_whole_installation_is_told_with_its_revision(
    root: Path, settings: Settings, upstream: Upstream, prepare: Callable[[Settings], None]
) -> None:
    prepare(settings)
    assert rows(root, settings)["ComfyUI's venv"].hint == "doit comfyui:setup"
    setup(root, settings)
    found = rows(root, settings)
    assert all(row.ok and not row.hint for row in found.values())
    commit = git(upstream.folder, "rev-parse", "HEAD")
    assert found["ComfyUI"].found == f"{FOLDER} is at v1 ({commit[:12]}), as pinned"
    assert found["ComfyUI's venv"].found == "complete, with PyTorch: none"
    (root / FOLDER / "requirements.txt").write_text("more\n")
    found = rows(root, settings)
    assert found["ComfyUI"].found.endswith(", with local changes")
    assert not found["ComfyUI's venv"].ok


def test_another_revision_than_the_pinned_one_is_a_warning(root: Path, settings: Settings, upstream: Upstream) -> None:
    update_checkout(Checkout(root, settings.comfyui_repository, "v1"), newest=False)
    upstream.release("v2")
    row = rows(root, replace(settings, comfyui_revision="v2"))["ComfyUI"]
    assert row.ok
    assert row.found.endswith("not at the pinned v2")
    assert row.hint == "doit comfyui:update"


def test_what_was_stopped_or_is_something_else_is_told(root: Path, settings: Settings) -> None:
    (root / FOLDER / ".git").mkdir(parents=True)
    assert rows(root, settings)["ComfyUI"].found == "half there: an installation was stopped, in tools/ComfyUI"
    (root / FOLDER / "main.py").write_text("")
    row = rows(root, settings)["ComfyUI"]
    assert not row.ok
    assert "is there already, and is not a git clone of" in row.found


def test_a_half_made_venv_is_told(root: Path, settings: Settings) -> None:
    update_checkout(Checkout(root, settings.comfyui_repository, "v1"), newest=False)
    (root / VENV).mkdir()
    (root / VENV / "imagegen.json").write_text("{}")
    row = rows(root, settings)["ComfyUI's venv"]
    assert (row.ok, row.hint) == (False, "doit comfyui:setup")


def test_a_python_that_will_not_do_is_told(root: Path, settings: Settings) -> None:
    row = rows(root, replace(settings, comfyui_python="no-such-python"))["Python for ComfyUI"]
    assert (row.ok, row.found) == (False, "no-such-python does not run")
