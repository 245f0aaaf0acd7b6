"""What git has is not generated: in a clone the store is empty, and an image may be deleted or left out."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.execute.workshop import Workshop

MALLSING = "portraits:mallsing"


class Checkout(Workshop):
    def git(self, *arguments: str) -> str:
        settings = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *settings, *arguments], cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout

    def states(self) -> dict[str, str]:
        return {line[3:]: line[:2] for line in self.git("status", "--short").splitlines()}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A fresh clone of a project that is built and committed, in a folder of its repository."""
    made = Checkout(tmp_path / "made/game")
    made.job(derive={"thumb": {"width": 16}})
    made.build()
    (made.root / ".gitignore").write_text(".imagegen/\n")
    made.git("init", "-q", "..")
    made.git("add", "--all")
    made.git("commit", "-qm", "work")
    subprocess.run(["git", "clone", "-q", tmp_path / "made", tmp_path / "clone"], check=True)
    return Checkout(tmp_path / "clone/game")


@pytest.mark.parametrize("staged", [False, True])
def test_a_deleted_image_comes_back_from_git(checkout: Checkout, staged: bool) -> None:
    before = checkout.files()
    for path in ("mallsing", "mallsing-thumb"):
        checkout.path(path).unlink()
    if staged:
        checkout.git("add", "--all")
    assert checkout.build() == {MALLSING: "restored", f"{MALLSING}:thumb": "restored"}
    checkout.git("reset", "-q")
    assert (checkout.calls(), checkout.files(), checkout.states()) == (0, before, {})


def test_one_that_a_sparse_checkout_leaves_out_does_too(checkout: Checkout) -> None:
    before = checkout.files()
    checkout.git("update-index", "--skip-worktree", *before)  # as `git sparse-checkout` does it
    shutil.rmtree(checkout.root / "assets")
    assert set(checkout.build().values()) == {"restored"}
    assert (checkout.calls(), checkout.files()) == (0, before)


def test_an_accepted_one_does_too(checkout: Checkout) -> None:
    data = checkout.touch_up("yrr")
    checkout.accept("portraits:yrr")
    checkout.build()
    checkout.git("add", "--all")
    checkout.git("commit", "-qm", "accepted")
    shutil.rmtree(checkout.root / ".imagegen")
    checkout.path("yrr").unlink()
    assert checkout.build() == {"portraits:yrr": "restored"}
    assert checkout.path("yrr").read_bytes() == data
    assert checkout.states() == {}


def test_forced_it_is_generated(checkout: Checkout) -> None:
    checkout.path("mallsing").unlink()
    assert checkout.build(MALLSING, forced=True) == {MALLSING: "generated"}


def test_another_version_than_the_lock_file_records_is_not_taken(checkout: Checkout) -> None:
    checkout.touch_up("mallsing")
    checkout.git("commit", "-qam", "another picture, without its line")
    checkout.path("mallsing").unlink()
    assert checkout.build()[MALLSING] == "generated"


def as_pointers(checkout: Checkout) -> bytes:
    """Have git hold Git LFS pointers in place of the images; the bytes of one of these."""
    for path in checkout.path("x").parent.iterdir():
        line = next(line for line in checkout.project().lock("portraits").every_line() if line.path.endswith(path.name))
        path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{line.sha256}\nsize {line.size}\n")
    checkout.git("commit", "-qam", "pointers")
    return checkout.path("mallsing").read_bytes()


def test_of_a_pointer_it_is_the_content_that_git_lfs_has(checkout: Checkout) -> None:
    data = checkout.path("mallsing").read_bytes()
    sha256 = as_pointers(checkout).decode().partition("sha256:")[2][:64]
    checkout.path("mallsing").unlink()
    objects = checkout.root.parent / ".git/lfs/objects" / sha256[:2] / sha256[2:4]
    objects.mkdir(parents=True)
    (objects / sha256).write_bytes(data)
    assert checkout.build() == {MALLSING: "restored"}
    assert checkout.path("mallsing").read_bytes() == data


def test_where_git_has_no_more_than_a_pointer_nothing_is_generated(checkout: Checkout) -> None:
    as_pointers(checkout)
    checkout.path("mallsing").unlink()
    assert checkout.build()[MALLSING] == "failed"
    assert "git checkout HEAD -- assets/portraits/mallsing.png" in checkout.problems[MALLSING].hint
    assert checkout.calls() == 0


def test_without_a_repository_it_is_generated(checkout: Checkout) -> None:
    shutil.rmtree(checkout.root.parent / ".git")
    checkout.path("mallsing").unlink()
    assert checkout.build()[MALLSING] == "generated"
