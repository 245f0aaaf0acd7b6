"""Install ComfyUI on this machine: its git clone at the pinned revision, its venv, and its model folders.

A step that is done is not done again. Models, custom nodes and local changes are never touched.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from imagegen.backends.comfyui.environment import (
    BUILDS,
    VENV,
    Environment,
    TorchChoice,
    detect_build,
    find_python,
    query,
    run,
)
from imagegen.backends.comfyui.server import managed_server
from imagegen.backends.file_lock import hold_file_lock
from imagegen.backends.models import EXTRA_PATHS, FOLDER, MODELS
from imagegen.backends.text import is_terminal, list_first, size_text
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, NotBegunError, Problem, did_you_mean

__all__ = [
    "Checkout",
    "ComfyUIInPlace",
    "Step",
    "announce",
    "check_folder",
    "get_checkout",
    "setup",
    "update_checkout",
    "write_model_paths",
]

_BEFORE_THE_CLONE = {".git", "models", "custom_nodes", "extra_model_paths.yaml", ".DS_Store"}
"""What may be there before the clone: models can be downloaded first."""
_OFFLINE = "check the network and comfyui.repository (doit settings); run it again, and it goes on from here"


@dataclass(frozen=True)
class Checkout:
    """The git clone of a project at `root`: its repository, and the tag, branch or commit that it is pinned to."""

    root: Path
    repository: str
    revision: str

    @property
    def folder(self) -> Path:
        """The clone itself."""
        return self.root / FOLDER

    @property
    def address(self) -> str:
        """The repository for git; a path is taken from the project's root, and made absolute."""
        path = self.root / Path(self.repository).expanduser()
        is_path = self.repository.startswith((".", "/", "~")) or path.exists()
        return str(path.resolve()) if is_path else self.repository

    def git(self, *words: str) -> list[str]:
        """Return a git command on this clone. Both folders are named: git would look for a repository further up."""
        return ["git", f"--git-dir={self.folder / '.git'}", f"--work-tree={self.folder}", *words]

    def query(self, *words: str) -> str | None:
        """Return git's answer about the clone; None if it fails, or there is no clone."""
        return query(self.git(*words), self.folder) if (self.folder / ".git").is_dir() else None

    @property
    def origin(self) -> str | None:
        """The address that it was cloned from, if it says so."""
        return self.query("config", "--get", "remote.origin.url")

    @property
    def commit(self) -> str | None:
        """The commit that is checked out completely; None if there is none."""
        return None if self.unfinished.exists() else self.query("rev-parse", "--quiet", "--verify", "HEAD^{commit}")

    @property
    def pinned(self) -> str | None:
        """The commit of the pinned revision, if the clone knows it: a tag, a branch or a commit, in this order."""
        names = [f"refs/tags/{self.revision}", f"refs/remotes/origin/{self.revision}"]
        if re.fullmatch("[0-9a-f]{7,40}", self.revision):
            names.append(self.revision)
        found = (self.query("rev-parse", "--quiet", "--verify", f"{name}^{{commit}}") for name in names)
        return next(filter(None, found), None)

    @property
    def unfinished(self) -> Path:
        """A file that exists while git changes the files to another revision: a kill leaves it behind."""
        return self.folder / ".git" / "imagegen-unfinished"


def check_folder(checkout: Checkout) -> None:
    """Raise ImagegenError if the folder holds anything else than a clone of the repository, or part of one."""
    folder = checkout.folder
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir():
        raise ImagegenError(Problem(str(FOLDER), "is not a folder", "move it away"))
    if checkout.commit is None and {entry.name for entry in folder.iterdir()} <= _BEFORE_THE_CLONE:
        return  # nothing is there yet, or a clone that was stopped before it had files
    origin = checkout.origin
    if origin is None:
        hint = "move it away; its models can be used where they are: comfyui.model_paths"
        raise ImagegenError(
            Problem(str(FOLDER), f"is there already, and is not a git clone of {checkout.repository}", hint)
        )
    if _normalise(origin) != _normalise(checkout.address):
        what = f"is a clone of {origin}, not of {checkout.repository}"
        hint = f"set comfyui.repository to it, or: git -C {FOLDER} remote set-url origin {checkout.address}"
        raise ImagegenError(Problem(str(FOLDER), what, hint))


def update_checkout(checkout: Checkout, newest: bool) -> None:
    """Check out the pinned revision, in a new clone if there is none; continue where an earlier call was stopped.

    Models, custom nodes and everything else that git does not track stay.

    Args:
        newest: ask the repository even if the clone knows the revision, as a branch may have grown.

    Raises:
        ImagegenError: git fails, or the folder holds something that would be lost.
    """
    if shutil.which("git") is None:
        raise NotBegunError(Problem("", "git is not installed", "install git: https://git-scm.com/downloads"))
    check_folder(checkout)
    is_whole = checkout.commit is not None
    if is_whole and not newest and checkout.commit == checkout.pinned:
        return
    if is_whole:
        _refuse_changes(checkout)
    else:
        newest = _begin_clone(checkout) or newest
    if newest or checkout.pinned is None:
        _fetch(checkout)
    commit = checkout.pinned
    if commit is None:
        raise ImagegenError(_explain_unknown_revision(checkout))
    if commit != checkout.commit:
        _check_out(checkout, commit)


def _begin_clone(checkout: Checkout) -> bool:
    """Make an empty clone, or repair one that was killed while it was made; return whether it is new."""
    git = checkout.folder / ".git"
    git.mkdir(parents=True, exist_ok=True)
    for lock in git.glob("*.lock"):  # of a git that was killed: whoever installs here holds a lock of its own
        lock.unlink()
    origin = checkout.origin
    is_new = origin is None or _normalise(origin) != _normalise(checkout.address)
    words = [["init", "--quiet"]]
    if is_new:
        words += [["remote", "remove", "origin"]] if origin else []  # and with it what was fetched from there
        words += [["remote", "add", "origin", checkout.address]]
    for each in words:
        run(checkout.git(*each), checkout.folder, f"{FOLDER} cannot be made a git clone", f"delete {FOLDER}/.git")
    return is_new


def _fetch(checkout: Checkout) -> None:
    print(f"fetching {checkout.repository}", flush=True)
    command = checkout.git("fetch", "--progress" if is_terminal() else "--quiet", "--force", "--tags", "origin")
    run(command, checkout.folder, f"{checkout.repository} cannot be fetched", _OFFLINE)


def _refuse_changes(checkout: Checkout) -> None:
    changed = checkout.query("status", "--porcelain", "--untracked-files=no")
    if changed:
        files = [line.strip().partition(" ")[2].strip() for line in changed.splitlines()]
        what = f"has local changes, and is left as it is: {list_first(files, 3)}"
        hint = f"put them away (git -C {FOLDER} stash), or commit them to a branch of your own repository and pin that"
        raise ImagegenError(Problem(str(FOLDER), what, hint))
    # the pinned commit is kept by a ref of its own, so only a user's own commits can be on no branch
    if not checkout.query("for-each-ref", "--count=1", "--contains", "HEAD"):
        what = f"has commits of its own that are on no branch ({str(checkout.commit)[:12]}), and is left as it is"
        raise ImagegenError(Problem(str(FOLDER), what, f"give them a branch: git -C {FOLDER} branch mine"))


def _check_out(checkout: Checkout, commit: str) -> None:
    print(f"checking out {checkout.revision}", flush=True)
    # --force only after a kill in the middle of this: then only the files differ that it was writing
    force = ["--force"] if checkout.unfinished.exists() else []
    with _mark_unfinished(checkout):
        run(
            checkout.git("-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", *force, commit),
            checkout.folder,
            f"{checkout.revision} cannot be checked out in {FOLDER}",
            "fix what git says, and run it again",
        )
        checkout.query("update-ref", "refs/imagegen/pinned", commit)


@contextmanager
def _mark_unfinished(checkout: Checkout) -> Iterator[None]:
    checkout.unfinished.touch()
    try:
        yield
    except ImagegenError:
        if checkout.query("status", "--porcelain", "--untracked-files=no") == "":
            checkout.unfinished.unlink()  # git refused before it touched a file
        raise
    checkout.unfinished.unlink()


def _explain_unknown_revision(checkout: Checkout) -> Problem:
    names = checkout.query("for-each-ref", "--format=%(refname:lstrip=2)", "refs/tags") or ""
    branches = checkout.query("for-each-ref", "--format=%(refname:lstrip=3)", "refs/remotes/origin") or ""
    near = did_you_mean(checkout.revision, [*names.split(), *branches.split()])
    what = f"{checkout.repository} has no tag, branch or commit '{checkout.revision}'{near}"
    return Problem("comfyui.revision", what, "set comfyui.revision in [tool.imagegen.comfyui] of pyproject.toml")


def _normalise(address: str) -> str:
    """Return an address for comparison: https, ssh and git's short form of one repository are the same."""
    match = re.fullmatch(r"(?:\w+://)?(?:[^@/]+@)?([^/:]+\.[^/:]+)[:/](.+)", address)
    plain = f"{match[1]}/{match[2]}".lower() if match else address
    return plain.rstrip("/").removesuffix(".git")


_MB, _GB = 1024**2, 1024**3
_CLONE = (80 * _MB, 200 * _MB)
_VENV = (0, 50 * _MB)
_PACKAGES = (700 * _MB, 2 * _GB)
"""About how many bytes each step downloads, and takes on disk."""
_BUSY = Problem("", "another doit is installing ComfyUI here", "wait for it, or let this one wait: wait=600 (seconds)")


@dataclass(frozen=True)
class Step:
    """One step of the installation, and about how many bytes it downloads and takes on disk."""

    what: str
    download: int
    disk: int


@dataclass(frozen=True)
class ComfyUIInPlace:
    """A ComfyUI that is installed.

    Attributes:
        commit: of the pinned revision.
        python: the version of its Python.
        torch: its PyTorch build.
        is_changed: whether anything was installed or updated now.
    """

    commit: str
    python: str
    torch: str
    is_changed: bool


def get_checkout(root: Path, settings: Settings) -> Checkout:
    """Return the clone as the settings want it."""
    return Checkout(root.absolute(), settings.comfyui_repository, settings.comfyui_revision)


def setup(
    root: Path,
    settings: Settings,
    torch: str = "",
    newest: bool = False,
    ask: Callable[[], None] = lambda: None,
) -> ComfyUIInPlace:
    """Install ComfyUI as the settings want it, and print what is done. If all is done, no network is needed.

    Args:
        torch: the PyTorch build, in place of the settings'; empty for theirs.
        newest: look whether the pinned revision has moved.
        ask: called once it is printed what is downloaded, and before anything is; may raise.

    Raises:
        ImagegenError: a step failed. What was done until then stays, and the next call continues from there.
    """
    try:
        with hold_file_lock(root / ".imagegen/comfyui-setup.lock", _BUSY, settings.wait_s):
            return _set_up(root, settings, torch, newest, ask)
    except OSError as error:
        what = f"{error.filename or FOLDER} cannot be written or read: {error.strerror or error}"
        raise ImagegenError(Problem("", what, "fix its permissions, or make room, and run it again")) from None


def choose_torch(environment: Environment, settings: Settings, torch: str = "") -> tuple[TorchChoice, str]:
    """Return the PyTorch build for this machine with its index, and why it is this one.

    An automatic choice is made once: a driver that fails for a day changes nothing.
    """
    before = environment.torch
    asked = torch or settings.comfyui_torch
    if asked != "auto":
        build, why = asked, "as you ask"
    elif before and not torch:
        build, why = before.build, "as before"
    else:
        build, why = detect_build()
    if build == "none":
        return TorchChoice(build, ""), why
    known = before.index if before and before.build == build else BUILDS[build].index
    return TorchChoice(build, settings.comfyui_torch_index or known), why


def _set_up(root: Path, settings: Settings, torch: str, newest: bool, ask: Callable[[], None]) -> ComfyUIInPlace:
    checkout, environment = get_checkout(root, settings), Environment(root)
    check_folder(checkout)
    before = checkout.commit
    is_pinned = before is not None and before == checkout.pinned
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
        steps.append(Step("the packages of its requirements.txt that are missing", *_PACKAGES))
    record = managed_server(root).read_record()
    if (steps or newest or not is_pinned) and record and record.process.is_alive:
        raise ImagegenError(
            Problem("", f"ComfyUI runs from {FOLDER} (process {record.process.pid})", "doit server:stop")
        )
    if steps:
        announce(steps, shutil.disk_usage(root).free)
        ask()
    if newest or not is_pinned:
        update_checkout(checkout, newest)
    if not (checkout.folder / "requirements.txt").is_file():
        what = f"{checkout.repository} has no requirements.txt at {checkout.revision}"
        raise ImagegenError(Problem("comfyui.repository", what, "is that ComfyUI? See doit settings"))
    if python:
        environment.make(python, settings.comfyui_python)
    elif environment.asked != settings.comfyui_python:
        print(f"comfyui.python has changed since {VENV} was made: to make it again, delete it and run this again")
    if not environment.has_torch(choice):
        environment.install_torch(choice)
    if not environment.has_requirements():
        environment.install_requirements()
    for line in write_model_paths(root, settings):
        print(line)
    print(f"ComfyUI is installed in {FOLDER}: {checkout.revision}, git revision {checkout.commit}")
    print(f"Python {environment.version}, PyTorch: {choice.build}")
    commit = checkout.commit or ""
    return ComfyUIInPlace(commit, environment.version, choice.build, bool(steps) or commit != before)


def announce(steps: Sequence[Step], free: int) -> None:
    """Print the steps and their sizes. Raises ImagegenError if there are not enough free bytes."""
    print(f"to be installed in {FOLDER}:")
    for step in steps:
        print(f"  {step.what}{f': about {size_text(step.download)}' if step.download else ''}")
    download, disk = sum(step.download for step in steps), sum(step.disk for step in steps)
    print(
        f"about {size_text(download)} to download, about {size_text(disk)} on disk; {size_text(free)} are free",
        flush=True,
    )
    if free < disk:
        what = f"not enough room: about {size_text(disk)} are needed, {size_text(free)} are free"
        raise ImagegenError(Problem(str(FOLDER), what, "make room; nothing has been downloaded"))


_MARK = "# Written by doit comfyui:setup from [tool.imagegen.comfyui] model_paths in pyproject.toml: change it there.\n"
"""How it begins, and always has: by this it is recognised."""


class _Folders(str):
    """Folders, one on each line, also in YAML."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Folders, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style="|")
)


def write_model_paths(root: Path, settings: Settings) -> list[str]:
    """Write `comfyui.model_paths` and tools/models to ComfyUI's extra_model_paths.yaml, which it always reads.

    A file that somebody else wrote is left alone. Raises OSError.

    Returns:
        A line for each thing that a person should know.
    """
    path = root / EXTRA_PATHS
    wanted = _format_model_paths(root, settings)
    there = path.read_text("utf-8", "replace") if path.exists() else ""
    missing = [
        f"{EXTRA_PATHS}: {kind}: the folder {folder} does not exist yet"
        for kind, folders in settings.comfyui_model_paths
        for folder in folders
        if not (root / folder).is_dir()
    ]
    if there == wanted:
        return missing
    if there and not there.startswith(_MARK):
        said = "was not written by doit comfyui:setup, and is left as it is: ComfyUI may not find all models"
        return (
            [f"{EXTRA_PATHS}: {said}. Add comfyui.model_paths and {MODELS} there, or move the file away"]
            if wanted
            else []
        )
    if not wanted:
        path.unlink()
        return [f"{EXTRA_PATHS}: removed: comfyui.model_paths is empty"]
    temporary = path.with_suffix(".tmp")
    temporary.write_text(wanted, encoding="utf-8")
    temporary.replace(path)
    return [f"{EXTRA_PATHS}: written", *missing]


def _format_model_paths(root: Path, settings: Settings) -> str:
    found = {kind: list(folders) for kind, folders in settings.comfyui_model_paths if folders}
    if (root / MODELS).is_dir():
        for folder in sorted(path for path in (root / MODELS).iterdir() if path.is_dir()):
            found.setdefault(folder.name, []).append(str(MODELS / folder.name))
    paths = {
        # abspath, not resolve: a link stays a link
        kind: _Folders("".join(f"{os.path.abspath(root / folder)}\n" for folder in folders))  # noqa: PTH100
        for kind, folders in found.items()
    }
    if not paths:
        return ""
    return _MARK + yaml.dump({"imagegen": paths}, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=10_000)
