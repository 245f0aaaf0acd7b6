"""The clone of ComfyUI: brought to the pinned revision, and nothing of the user's in it lost."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imagegen.backends.comfyui.commands import ask, run
from imagegen.backends.text import is_terminal
from imagegen.errors import ImagegenError, Problem, did_you_mean

__all__ = ["FOLDER", "Checkout", "bring", "refuse_foreign"]

FOLDER = "tools/ComfyUI"
"""Where it is, from the project's root."""
_BEFORE_THE_CLONE = {".git", "models", "custom_nodes", "extra_model_paths.yaml", ".DS_Store"}
"""What may be there already: models can be downloaded first."""
_OFFLINE = "check the network and comfyui.repository (doit settings); run it again, and it goes on from here"


@dataclass(frozen=True)
class Checkout:
    """The clone of a project at `root`: of which repository it is to be, and at which tag, branch or commit."""

    root: Path
    repository: str
    revision: str

    @property
    def folder(self) -> Path:
        """The clone itself."""
        return self.root / FOLDER

    @property
    def address(self) -> str:
        """The repository for git: a path, from the project's root, made absolute; else as it is."""
        path = self.root / Path(self.repository).expanduser()
        is_path = self.repository.startswith((".", "/", "~")) or path.exists()
        return str(path.resolve()) if is_path else self.repository

    def git(self, *words: str) -> list[str]:
        """A git command on this clone. Both places are named: git would look for a repository in the folders above."""
        return ["git", f"--git-dir={self.folder / '.git'}", f"--work-tree={self.folder}", *words]

    def ask(self, *words: str) -> str | None:
        """What git answers about the clone; None where it fails, or where there is none."""
        return ask(self.git(*words), self.folder) if (self.folder / ".git").is_dir() else None

    @property
    def origin(self) -> str | None:
        """Where it was cloned from, as far as it says."""
        return self.ask("config", "--get", "remote.origin.url")

    @property
    def commit(self) -> str | None:
        """The commit that is checked out whole; None where there is none."""
        return None if self.unfinished.exists() else self.ask("rev-parse", "--quiet", "--verify", "HEAD^{commit}")

    @property
    def pinned(self) -> str | None:
        """The commit of the pinned revision, as far as the clone knows it: a tag, then a branch, then a commit."""
        names = [f"refs/tags/{self.revision}", f"refs/remotes/origin/{self.revision}"]
        if re.fullmatch("[0-9a-f]{7,40}", self.revision):
            names.append(self.revision)
        found = (self.ask("rev-parse", "--quiet", "--verify", f"{name}^{{commit}}") for name in names)
        return next(filter(None, found), None)

    @property
    def unfinished(self) -> Path:
        """A file that is there while git moves the files from one revision to another: a kill leaves it behind."""
        return self.folder / ".git" / "imagegen-unfinished"


def refuse_foreign(checkout: Checkout) -> None:
    """Raise ImagegenError where the folder holds something else than a clone of the repository, or part of one."""
    folder = checkout.folder
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir():
        raise ImagegenError(Problem(FOLDER, "is no folder", "move it away"))
    if checkout.commit is None and {entry.name for entry in folder.iterdir()} <= _BEFORE_THE_CLONE:
        return  # nothing is there yet, or a clone that was stopped before it had files
    origin = checkout.origin
    if origin is None:
        hint = "move it away; its models can be used where they are: comfyui.model_paths"
        raise ImagegenError(Problem(FOLDER, f"is there already and no git clone of {checkout.repository}", hint))
    if _plain(origin) != _plain(checkout.address):
        what = f"is a clone of {origin}, and not of {checkout.repository}"
        hint = f"set comfyui.repository to it, or: git -C {FOLDER} remote set-url origin {checkout.address}"
        raise ImagegenError(Problem(FOLDER, what, hint))


def bring(checkout: Checkout, newest: bool) -> None:
    """Bring the clone to the pinned revision, making it where there is none; go on where an earlier one stopped.

    newest: ask the repository though the clone knows the revision; a branch may have grown.
    Models, custom nodes and all else that git does not track stay. Raises ImagegenError.
    """
    if shutil.which("git") is None:
        raise ImagegenError(Problem("", "git is not installed", "install git: https://git-scm.com/downloads"))
    refuse_foreign(checkout)
    is_whole = checkout.commit is not None
    if is_whole and not newest and checkout.commit == checkout.pinned:
        return
    if is_whole:
        _refuse_changes(checkout)
    else:
        newest = _begin(checkout) or newest
    if newest or checkout.pinned is None:
        _fetch(checkout)
    commit = checkout.pinned
    if commit is None:
        raise ImagegenError(_unknown(checkout))
    if commit != checkout.commit:
        _check_out(checkout, commit)


def _begin(checkout: Checkout) -> bool:
    """Make an empty clone, or hint one that was killed while it was made; whether it is a new one."""
    git = checkout.folder / ".git"
    git.mkdir(parents=True, exist_ok=True)
    for lock in git.glob("*.lock"):  # of a git that was killed: whoever sets up here holds the set-up's own lock
        lock.unlink()
    origin = checkout.origin
    is_new = origin is None or _plain(origin) != _plain(checkout.address)
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
    changed = checkout.ask("status", "--porcelain", "--untracked-files=no")
    if changed:
        files = [line.strip().partition(" ")[2].strip() for line in changed.splitlines()]
        shown = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
        what = f"has local changes, and stays as it is: {shown}"
        hint = f"put them away (git -C {FOLDER} stash), or commit them to a branch of your own repository and pin that"
        raise ImagegenError(Problem(FOLDER, what, hint))
    # what setup checked out is kept by a ref of its own, so only a user's own commits can be on none
    if not checkout.ask("for-each-ref", "--count=1", "--contains", "HEAD"):
        what = f"has commits of its own that are on no branch ({str(checkout.commit)[:12]}), and stays as it is"
        raise ImagegenError(Problem(FOLDER, what, f"give them a branch: git -C {FOLDER} branch mine"))


def _check_out(checkout: Checkout, commit: str) -> None:
    print(f"checking out {checkout.revision}", flush=True)
    # --force only after a kill in the middle of this: all files that differ then are those that it was writing
    force = ["--force"] if checkout.unfinished.exists() else []
    with _marked(checkout):
        run(
            checkout.git("-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", *force, commit),
            checkout.folder,
            f"{FOLDER} cannot be brought to {checkout.revision}",
            "fix what git says, and run it again",
        )
        checkout.ask("update-ref", "refs/imagegen/pinned", commit)


@contextmanager
def _marked(checkout: Checkout) -> Iterator[None]:
    checkout.unfinished.touch()
    try:
        yield
    except ImagegenError:
        if checkout.ask("status", "--porcelain", "--untracked-files=no") == "":
            checkout.unfinished.unlink()  # git refused before it touched a file
        raise
    checkout.unfinished.unlink()


def _unknown(checkout: Checkout) -> Problem:
    names = checkout.ask("for-each-ref", "--format=%(refname:lstrip=2)", "refs/tags") or ""
    branches = checkout.ask("for-each-ref", "--format=%(refname:lstrip=3)", "refs/remotes/origin") or ""
    near = did_you_mean(checkout.revision, [*names.split(), *branches.split()])
    what = f"{checkout.repository} has no tag, branch or commit '{checkout.revision}'{near}"
    return Problem("comfyui.revision", what, "set comfyui.revision in [tool.imagegen.comfyui] of pyproject.toml")


def _plain(address: str) -> str:
    """An address as it is compared: https, ssh and git's short form of one repository are the same."""
    match = re.fullmatch(r"(?:\w+://)?(?:[^@/]+@)?([^/:]+\.[^/:]+)[:/](.+)", address)
    plain = f"{match[1]}/{match[2]}".lower() if match else address
    return plain.rstrip("/").removesuffix(".git")
