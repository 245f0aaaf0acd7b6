"""Setting ComfyUI up on this machine: its clone, its venv, PyTorch for this machine, its packages, its model folders.

Each step that is done is left alone. Models and custom nodes are never touched.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagegen.backends.comfyui.checkout import FOLDER, Checkout, bring, refuse_foreign
from imagegen.backends.comfyui.environment import VENV, Environment, TorchChoice
from imagegen.backends.comfyui.model_paths import write_model_paths
from imagegen.backends.comfyui.python import find_python
from imagegen.backends.comfyui.server import own_server
from imagegen.backends.comfyui.torch_build import BUILDS, check_build, detect
from imagegen.backends.locked import locked
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, Problem

__all__ = ["Step", "announce", "checkout_of", "choose_torch", "setup"]

_MB, _GB = 1024**2, 1024**3
_CLONE = (80 * _MB, 200 * _MB)
_VENV = (0, 50 * _MB)
_PACKAGES = (700 * _MB, 2 * _GB)
"""About how many bytes each step downloads, and takes on disk."""
_BUSY = Problem(
    "", "another set-up of ComfyUI is at work here", "wait for it, or have this one wait: wait=600 (seconds)"
)


@dataclass(frozen=True)
class Step:
    """One step of a set-up, and about how many bytes it downloads and takes on disk."""

    what: str
    download: int
    disk: int


def checkout_of(root: Path, settings: Settings) -> Checkout:
    """The clone as the settings want it."""
    return Checkout(root.absolute(), settings.comfyui_repository, settings.comfyui_revision)


def setup(
    root: Path,
    settings: Settings,
    torch: str = "",
    newest: bool = False,
    ask: Callable[[], None] = lambda: None,
) -> None:
    """Bring ComfyUI to where the settings want it, and print what is done; where all is done, that takes no network.

    torch: the PyTorch build, stronger than the settings; empty: as they say. newest: look whether the pinned revision
    has moved. ask: called once it was said what is downloaded, and before anything is; may raise.
    Raises ImagegenError; what was done until then stays, and the next set-up goes on from there.
    """
    check_build(torch or "auto")
    try:
        with locked(root / ".imagegen/comfyui-setup.lock", _BUSY, settings.wait_s):
            _set_up(root, settings, torch, newest, ask)
    except OSError as error:
        what = f"{error.filename or FOLDER} cannot be written or read: {error.strerror or error}"
        raise ImagegenError(Problem("", what, "fix its permissions, or make room, and run it again")) from None


def choose_torch(environment: Environment, settings: Settings, torch: str = "") -> tuple[TorchChoice, str]:
    """The PyTorch build for this machine and its index, and why this one.

    What is chosen automatically is chosen once: a driver that fails for a day changes nothing.
    """
    before = environment.torch
    asked = torch or settings.comfyui_torch
    if asked != "auto":
        build, why = asked, "as you ask"
    elif before and not torch:
        build, why = before.build, "as before"
    else:
        build, why = detect()
    if build == "none":
        return TorchChoice(build, ""), why
    known = before.index if before and before.build == build else BUILDS[build].index
    return TorchChoice(build, settings.comfyui_torch_index or known), why


def _set_up(root: Path, settings: Settings, torch: str, newest: bool, ask: Callable[[], None]) -> None:
    checkout, environment = checkout_of(root, settings), Environment(root)
    refuse_foreign(checkout)
    is_pinned = checkout.commit is not None and checkout.commit == checkout.pinned
    choice, why = choose_torch(environment, settings, torch)
    steps = []
    if checkout.commit is None:
        steps.append(Step(f"ComfyUI {checkout.revision}, a git clone of {checkout.repository}", *_CLONE))
    python = None if environment.version else find_python(root, settings.comfyui_python)
    if python:
        steps.append(Step(f"its own venv, of {python}", *_VENV))
    if choice != environment.torch or not environment.has_torch(choice):
        build = BUILDS[choice.build]
        source = f" from {choice.index}" if choice.index else ""
        steps.append(Step(f"PyTorch: {choice.build} ({why}){source}", build.download, build.disk))
    if not environment.has_requirements():
        steps.append(Step("the packages of its requirements.txt, as far as they are missing", *_PACKAGES))
    record = own_server(root).record()
    if (steps or newest or not is_pinned) and record and record.process.look() == "alive":
        raise ImagegenError(
            Problem("", f"ComfyUI runs from {FOLDER} (process {record.process.pid})", "doit server:stop")
        )
    if steps:
        announce(steps, shutil.disk_usage(root).free)
        ask()
    if newest or not is_pinned:
        bring(checkout, newest)
    if not (checkout.folder / "requirements.txt").is_file():
        what = f"{checkout.repository} has no requirements.txt at {checkout.revision}"
        raise ImagegenError(Problem("comfyui.repository", what, "is that ComfyUI? See doit settings"))
    if python:
        environment.make(python, settings.comfyui_python)
    elif environment.asked != settings.comfyui_python:
        print(f"comfyui.python changed since {VENV} was made; for a new one, delete that folder and run this again")
    if not environment.has_torch(choice):
        environment.install_torch(choice)
    if not environment.has_requirements():
        environment.install_requirements()
    for line in write_model_paths(root, settings):
        print(line)
    print(f"ComfyUI is set up in {FOLDER}: {checkout.revision}, git revision {checkout.commit}")
    print(f"Python {environment.version}, PyTorch: {choice.build}")


def announce(steps: Sequence[Step], free: int) -> None:
    """Say what comes and how much it is. Raises ImagegenError where the free bytes do not suffice."""
    print(f"to be put into {FOLDER}:")
    for step in steps:
        print(f"  {step.what}{f': about {_size(step.download)}' if step.download else ''}")
    download, disk = sum(step.download for step in steps), sum(step.disk for step in steps)
    print(f"about {_size(download)} to download, about {_size(disk)} on disk; {_size(free)} are free", flush=True)
    if free < disk:
        what = f"too little room: about {_size(disk)} are needed, {_size(free)} are free"
        raise ImagegenError(Problem(FOLDER, what, "make room; nothing has been downloaded"))


def _size(count: int) -> str:
    return f"{count / _GB:.1f} GB" if count >= _GB // 2 else f"{count / _MB:.0f} MB"
