"""What an image is restored from: git where the store is empty, and a shared store or a pulled lock file."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from imagegen.config.settings import Settings
from imagegen.execute.forecast import forecast
from imagegen.execute.verify import verify_outputs
from tests.execute.workshop import Workshop, picture
from tests.scripted import Script, ScriptedBackend

__all__ = []


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


def test_another_image_than_the_lock_file_tells_of_is_said_to_be_one(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    address = f"file://{(tmp_path / 'team').as_posix()}"
    workshop.settings = Settings(store=address)
    workshop.job()
    workshop.build()
    workshop.settings = Settings(store=address, store_writes=False)
    workshop.build("portraits:yrr", forced=True)
    other = workshop.clone(tmp_path / "other")
    other.build()
    assert other.said == {
        "portraits:mallsing": "from the shared store",
        "portraits:yrr": "from the shared store, a different one than the lock file records",
    }


def test_the_line_of_a_derived_file_that_a_clone_makes_anew_stays_as_it_is(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    workshop.settings = Settings(store=f"file://{(tmp_path / 'team').as_posix()}")
    workshop.job(derive={"thumb": {"width": 16}}, sheet={"cell": 16})
    workshop.build()
    other = workshop.clone(tmp_path / "other")
    assert sorted(set(other.build().values())) == ["derived", "restored"]
    assert other.lock() == workshop.lock()
    for path in (other.root / "assets").rglob("*"):
        if path.is_file():
            path.unlink()
    assert set(other.build().values()) == {"restored"}
    assert other.lock() == workshop.lock()


ITEMS = [{"name": "Mallsing", "prompt": "a tall figure"}, {"name": "Yrr", "prompt": "a small figure"}]
CHANGED = [ITEMS[0], {"name": "Yrr", "prompt": "a very small figure"}]
YRR = "portraits:yrr"
ANOTHER = "another one is recorded"


@pytest.fixture
def other(workshop: Workshop, tmp_path: Path) -> Workshop:
    """A second checkout, as the first one left all; both with the same shared store."""
    (tmp_path / "team").mkdir()
    workshop.settings = Settings(store=f"file://{(tmp_path / 'team').as_posix()}")
    workshop.job(items=ITEMS)
    workshop.build()
    found = workshop.clone(tmp_path / "other")
    found.build()
    return found


def pull(to: Workshop, source: Workshop) -> None:
    shutil.copytree(source.root / "jobs", to.root / "jobs", dirs_exist_ok=True)


def alike(one: Workshop, other: Workshop) -> bool:
    return one.files() == other.files() and one.lock() == other.lock()


def reasons(workshop: Workshop) -> list[str]:
    project = workshop.project()
    return [str(reason) for reason in project.verdict(workshop.outputs(project)[YRR]).reasons]


def foreseen(workshop: Workshop) -> dict[str, str]:
    project = workshop.project()
    outputs = workshop.outputs(project).values()
    found = forecast(project, [(one, project.verdict(project.with_origins(one))) for one in outputs], ())
    return {one.output.task: one.act for one in found.images if one.act != "fresh"}


def test_what_another_checkout_made_anew_comes_here(workshop: Workshop, other: Workshop) -> None:
    workshop.job(items=CHANGED)
    workshop.build()
    pull(other, workshop)
    assert reasons(other) == [ANOTHER]
    assert other.build() == {YRR: "restored"}
    assert alike(other, workshop)
    assert other.build() == {}
    assert other.calls() == 0


def test_so_does_what_it_rerolled_with_what_is_made_from_it(workshop: Workshop, other: Workshop) -> None:
    for one in (workshop, other):
        one.job(items=ITEMS, derive={"thumb": {"width": 16}}, sheet={"cell": 16})
        one.build()
    workshop.reroll(YRR)
    workshop.build()
    pull(other, workshop)
    assert other.build()[YRR] == "restored"
    assert alike(other, workshop)


def test_a_checkout_goes_back_and_forth(workshop: Workshop, tmp_path: Path) -> None:
    workshop.job(items=ITEMS)
    workshop.build()
    before, lock = workshop.files(), workshop.lock()
    shutil.copytree(workshop.root / "jobs", tmp_path / "before")
    workshop.job(items=CHANGED)
    workshop.build()
    shutil.copytree(tmp_path / "before", workshop.root / "jobs", dirs_exist_ok=True)
    assert workshop.build() == {YRR: "restored"}
    assert (workshop.files(), workshop.lock()) == (before, lock)
    assert workshop.calls() == 3


def test_where_it_cannot_be_had_it_is_made_as_in_a_clone(workshop: Workshop, other: Workshop, tmp_path: Path) -> None:
    workshop.job(items=CHANGED)
    workshop.build()
    shutil.rmtree(tmp_path / "team")
    pull(other, workshop)
    assert foreseen(other) == {YRR: "generate"}
    assert other.build() == {YRR: "generated"}


@pytest.mark.parametrize("overwrite", ["own", "never"])
def test_what_was_changed_by_hand_here_stays(workshop: Workshop, other: Workshop, overwrite: str) -> None:
    edited = other.touch_up("yrr")
    workshop.job(items=CHANGED, output={"overwrite": overwrite})
    workshop.path("yrr").unlink()
    workshop.build()
    pull(other, workshop)
    assert other.build() == {YRR: "kept"}
    assert other.path("yrr").read_bytes() == edited


def test_an_earlier_one_that_was_put_back_by_hand_stays(workshop: Workshop) -> None:
    workshop.job(items=ITEMS)
    workshop.build()
    earlier = workshop.path("yrr").read_bytes()
    workshop.job(items=CHANGED)
    workshop.build()
    workshop.path("yrr").write_bytes(earlier)
    assert workshop.build() == {YRR: "kept"}
    assert workshop.path("yrr").read_bytes() == earlier


def made_again(workshop: Workshop) -> None:
    """The same request, another file."""
    workshop.backend = ScriptedBackend(Script(acts={"Yrr": [{"format": "webp"}]}))
    before = workshop.path("yrr").read_bytes()
    assert workshop.build(YRR, forced=True) == {YRR: "generated"}
    assert workshop.path("yrr").read_bytes() != before


def test_one_that_was_made_again_for_the_same_request_comes_here(workshop: Workshop, other: Workshop) -> None:
    made_again(workshop)
    pull(other, workshop)
    assert foreseen(other) == {YRR: "restore"}
    assert other.build() == {YRR: "restored"}
    assert alike(other, workshop)


def test_where_that_cannot_be_had_ours_is_kept_and_not_drawn_again(workshop: Workshop, other: Workshop) -> None:
    workshop.settings = other.settings = Settings()
    made_again(workshop)
    pull(other, workshop)
    ours, lock = other.path("yrr").read_bytes(), other.lock()
    assert foreseen(other) == {YRR: "keep"}
    assert other.build() == {YRR: "kept"}
    assert "a different image for this request, and it isn't available here" in other.said[YRR]
    assert (other.path("yrr").read_bytes(), other.lock(), other.calls()) == (ours, lock, 0)


def test_what_another_checkout_accepted_comes_in_place_of_ours(workshop: Workshop, other: Workshop) -> None:
    edited = workshop.touch_up("yrr")
    workshop.accept(YRR)
    workshop.build()
    pull(other, workshop)
    assert reasons(other) == ["another one was accepted"]
    assert foreseen(other) == {YRR: "restore"}
    assert other.build() == {YRR: "restored"}
    assert other.path("yrr").read_bytes() == edited
    assert other.build() == {}


def test_where_what_was_accepted_cannot_be_had_ours_is_kept(workshop: Workshop, other: Workshop) -> None:
    workshop.settings = other.settings = Settings()
    workshop.touch_up("yrr")
    workshop.job(items=CHANGED)
    workshop.accept(YRR)
    pull(other, workshop)
    ours, lock = other.path("yrr").read_bytes(), other.lock()
    assert foreseen(other) == {YRR: "keep"}
    assert other.build() == {YRR: "kept"}
    assert other.said[YRR] == "another file was accepted, which is not in the store"
    assert (other.path("yrr").read_bytes(), other.lock(), other.calls()) == (ours, lock, 0)
    assert other.build(YRR, forced=True) == {YRR: "generated"}


def test_one_that_was_drawn_in_place_of_an_accepted_one_comes_back(workshop: Workshop, other: Workshop) -> None:
    edited = workshop.touch_up("yrr")
    workshop.accept(YRR)
    workshop.build()
    pull(other, workshop)
    other.build()
    made_again(workshop)
    pull(other, workshop)
    assert other.build() == {YRR: "restored"}
    assert alike(other, workshop)
    assert other.is_kept(edited)


def test_verify_tells_it_from_a_hand_edit(workshop: Workshop, other: Workshop) -> None:
    workshop.job(items=CHANGED)
    workshop.build()
    other.path("mallsing").write_bytes(picture("blue"))
    pull(other, workshop)
    project = other.project()
    found = {one.name: one for one in verify_outputs(project, list(other.outputs(project).values()))}
    assert found["portraits:mallsing"].state == "changed"
    assert found[YRR].state == "wrong"
    assert found[YRR].note == "it is an earlier version: jobs/portraits.lock records a different one"


def test_an_accepted_file_stays_where_the_lock_file_is_put_back(workshop: Workshop) -> None:
    workshop.job(items=ITEMS)
    workshop.build()
    before = workshop.lock()
    painted = workshop.touch_up("yrr")
    workshop.accept(YRR)
    for number in range(2):
        (workshop.root / "jobs/portraits.lock").write_bytes(before)
        assert workshop.build() == {YRR: "kept"}
        assert workshop.path("yrr").read_bytes() == painted
        if number == 0:  # once more, where the build itself brought it back
            workshop.accept(YRR)
            workshop.path("yrr").unlink()
            assert workshop.build() == {YRR: "restored"}


def test_what_git_brings_is_not_what_we_put_there(workshop: Workshop, other: Workshop) -> None:
    earlier = other.path("yrr").read_bytes()
    workshop.job(items=CHANGED)
    workshop.build()
    pull(other, workshop)
    other.path("yrr").unlink()
    other.path("yrr").write_bytes(earlier)  # as a checkout of an earlier commit would
    os.utime(other.path("yrr"), ns=(1, 1))
    assert other.build() == {YRR: "kept"}
    assert other.path("yrr").read_bytes() == earlier


def test_the_same_image_in_other_bytes_is_fresh_for_both(workshop: Workshop, other: Workshop) -> None:
    other.job(items=CHANGED)
    other.build()
    pull(workshop, other)
    lock = other.lock()
    (other.root / "jobs/portraits.lock").write_bytes(lock.replace(sha256(other.path("yrr")), b"0" * 64))
    assert other.build() == {}  # another release of an encoder wrote what the lock file tells of
    project = other.project()
    (found,) = verify_outputs(project, [other.outputs(project)[YRR]])
    assert found.state == "intact"


def sha256(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).hexdigest().encode()


def test_a_checkout_that_noted_nothing_knows_what_is_fresh_once_it_was_looked_through(
    workshop: Workshop, other: Workshop
) -> None:
    (other.root / ".imagegen/placed.txt").unlink()
    for slug in ("mallsing", "yrr"):
        os.utime(other.path(slug), ns=(1, 1))  # what has just been written may still change unnoticed
    project = other.project()
    assert {project.verdict(output).state for output in other.outputs(project).values()} == {"fresh"}
    project.record_fresh_files(other.outputs(project).values())
    noted = (other.root / ".imagegen/placed.txt").read_bytes()
    project.record_fresh_files(other.outputs(project).values())
    assert (other.root / ".imagegen/placed.txt").read_bytes() == noted
    workshop.job(items=CHANGED)
    workshop.build()
    pull(other, workshop)
    assert other.build() == {YRR: "restored"}
    assert alike(other, workshop)


def test_an_image_that_was_gone_back_to_answers_its_own_request(workshop: Workshop, other: Workshop) -> None:
    workshop.settings = other.settings = Settings()
    other.reroll(YRR)
    other.build()
    other.restore(YRR)
    made_again(workshop)
    pull(other, workshop)
    calls = other.calls()
    assert other.build() == {YRR: "kept"}
    assert other.calls() == calls


def test_the_recorded_one_comes_before_another_that_is_here(workshop: Workshop, other: Workshop) -> None:
    workshop.job(items=CHANGED)
    other.job(items=CHANGED)
    other.settings, shared = Settings(), other.settings
    for one in (workshop, other):
        one.build()
    other.job(items=ITEMS)
    other.build()
    other.settings = shared
    pull(other, workshop)
    assert other.build() == {YRR: "restored"}
    assert alike(other, workshop)
