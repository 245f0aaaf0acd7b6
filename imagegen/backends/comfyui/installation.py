"""Rows for `doit doctor` on the ComfyUI that is set up on this machine. Looks, and changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from imagegen.backends.base import Diagnosis
from imagegen.backends.comfyui.checkout import FOLDER, Checkout, refuse_foreign
from imagegen.backends.comfyui.commands import ask
from imagegen.backends.comfyui.environment import VENV, Environment
from imagegen.backends.comfyui.install import checkout_of
from imagegen.backends.comfyui.python import find_python
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError

__all__ = ["diagnose_installation"]

_SETUP = "doit comfyui:setup"
_SHORT = 12


def diagnose_installation(root: Path, settings: Settings) -> list[Diagnosis]:
    """Rows on git, Python, the clone and its revision, and the venv. Contacts nothing.

    One that is not ok blocks, but for git, which a ComfyUI that is there does without.
    """
    checkout, environment = checkout_of(root, settings), Environment(root)
    return [_git(root, checkout), _python(root, settings, environment), _clone(checkout), *_venv(checkout, environment)]


def _git(root: Path, checkout: Checkout) -> Diagnosis:
    said = ask(["git", "--version"], root) if shutil.which("git") else None
    if said is None:
        is_needed = not (checkout.folder / "main.py").exists()
        return Diagnosis(False, "git", "not installed", "install git: https://git-scm.com/downloads", is_needed)
    return Diagnosis(True, "git", said.removeprefix("git version "))


def _python(root: Path, settings: Settings, environment: Environment) -> Diagnosis:
    what = "Python for ComfyUI"
    if environment.version:
        return Diagnosis(True, what, f"Python {environment.version}, in {VENV}")
    try:
        return Diagnosis(True, what, str(find_python(root, settings.comfyui_python)))
    except ImagegenError as error:
        return Diagnosis(False, what, error.problems[0].what, error.problems[0].hint)


def _clone(checkout: Checkout) -> Diagnosis:
    what, pinned = "ComfyUI", checkout.revision
    try:
        refuse_foreign(checkout)
    except ImagegenError as error:
        return Diagnosis(False, what, f"{FOLDER} {error.problems[0].what}", error.problems[0].hint)
    commit = checkout.commit
    if commit is None:
        there = "half there: a set-up was stopped" if (checkout.folder / ".git").exists() else "not set up"
        return Diagnosis(False, what, f"{there}, in {FOLDER}", _SETUP)
    if commit != checkout.pinned:
        found = f"{FOLDER} is at {commit[:_SHORT]}, which is not the pinned {pinned}"
        return Diagnosis(True, what, found, "doit comfyui:update")
    changes = ", with local changes" if checkout.ask("status", "--porcelain", "--untracked-files=no") else ""
    return Diagnosis(True, what, f"{FOLDER} is at {pinned} ({commit[:_SHORT]}), as pinned{changes}")


def _venv(checkout: Checkout, environment: Environment) -> Iterator[Diagnosis]:
    if checkout.commit is None and not environment.version:
        return  # the clone's row says it all
    what = "ComfyUI's venv"
    if not environment.version:
        found = f"{VENV} is half made, or its Python is gone" if environment.folder.exists() else "not there"
        yield Diagnosis(False, what, found, _SETUP)
    elif environment.torch is None or not environment.has_torch(environment.torch):
        yield Diagnosis(False, what, "has no whole PyTorch", _SETUP)
    elif not environment.has_requirements():
        yield Diagnosis(False, what, "lacks packages of the requirements.txt that is there now", _SETUP)
    else:
        yield Diagnosis(True, what, f"complete, with PyTorch: {environment.torch.build}")
