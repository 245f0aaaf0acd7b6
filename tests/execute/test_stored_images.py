"""What an image is restored from: git where the store is empty, and a shared store or a pulled lock file."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from imagegen.config.settings import Settings
from imagegen.execute.forecast import forecast
from imagegen.execute.verify import verify_outputs
from tests.project_folder import SMALL_JOB, ProjectFolder, picture
from tests.scripted import Script, ScriptedBackend

__all__ = []


MALLSING = "portraits:mallsing"


@pytest.fixture
def checkout(tmp_path: Path) -> ProjectFolder:
    """A fresh clone of a project that is built and committed, in a folder of its repository."""
    made = ProjectFolder(tmp_path / "made/game", SMALL_JOB)
    made.job(derive={"thumb": {"width": 16}})
    made.build()
    (made.root / ".gitignore").write_text(".imagegen/\n")
    made.git("init", "-q", "..")
    made.git("add", "--all")
    made.git("commit", "-qm", "work")
    made.git("clone", "-q", "..", str(tmp_path / "clone"))
    return ProjectFolder(tmp_path / "clone/game", SMALL_JOB)


def git_status(checkout: ProjectFolder) -> dict[str, str]:
    return {line[3:]: line[:2] for line in checkout.git("status", "--short").splitlines()}


@pytest.mark.parametrize("staged", [False, True])
def test_a_deleted_image_comes_back_from_git(checkout: ProjectFolder, staged: bool) -> None:
    before = checkout.files()
    for path in ("mallsing", "mallsing-thumb"):
        checkout.image(path).unlink()
    if staged:
        checkout.git("add", "--all")
    assert checkout.build() == {MALLSING: "restored", f"{MALLSING}:thumb": "restored"}
    checkout.git("reset", "-q")
    assert (len(checkout.calls()), checkout.files(), git_status(checkout)) == (0, before, {})


def test_one_that_a_sparse_checkout_leaves_out_does_too(checkout: ProjectFolder) -> None:
    before = checkout.files()
    checkout.git("update-index", "--skip-worktree", *before)  # as `git sparse-checkout` does it
    shutil.rmtree(checkout.root / "assets")
    assert set(checkout.build().values()) == {"restored"}
    assert (len(checkout.calls()), checkout.files()) == (0, before)


def test_an_accepted_one_does_too(checkout: ProjectFolder) -> None:
    data = checkout.touch_up("yrr")
    checkout.accept("portraits:yrr")
    checkout.build()
    checkout.git("add", "--all")
    checkout.git("commit", "-qm", "accepted")
    shutil.rmtree(checkout.root / ".imagegen")
    checkout.image("yrr").unlink()
    assert checkout.build() == {"portraits:yrr": "restored"}
    assert checkout.image("yrr").read_bytes() == data
    assert git_status(checkout) == {}


def test_forced_it_is_generated(checkout: ProjectFolder) -> None:
    checkout.image("mallsing").unlink()
    assert checkout.build(MALLSING, forced=True) == {MALLSING: "generated"}


def test_another_version_than_the_lock_file_records_is_not_taken(checkout: ProjectFolder) -> None:
    checkout.touch_up("mallsing")
    checkout.git("commit", "-qam", "another picture, without its line")
    checkout.image("mallsing").unlink()
    assert checkout.build()[MALLSING] == "generated"


def as_pointers(checkout: ProjectFolder) -> bytes:
    """Have git hold Git LFS pointers in place of the images; the bytes of one of these."""
    for path in checkout.image("x").parent.iterdir():
        line = next(line for line in checkout.project().lock("portraits").sample(99) if line.path.endswith(path.name))
        path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{line.sha256}\nsize {line.size}\n")
    checkout.git("commit", "-qam", "pointers")
    return checkout.image("mallsing").read_bytes()


def test_of_a_pointer_it_is_the_content_that_git_lfs_has(checkout: ProjectFolder) -> None:
    data = checkout.image("mallsing").read_bytes()
    sha256 = as_pointers(checkout).decode().partition("sha256:")[2][:64]
    checkout.image("mallsing").unlink()
    objects = checkout.root.parent / ".git/lfs/objects" / sha256[:2] / sha256[2:4]
    objects.mkdir(parents=True)
    (objects / sha256).write_bytes(data)
    assert checkout.build() == {MALLSING: "restored"}
    assert checkout.image("mallsing").read_bytes() == data


def test_where_git_has_no_more_than_a_pointer_nothing_is_generated(checkout: ProjectFolder) -> None:
    as_pointers(checkout)
    checkout.image("mallsing").unlink()
    assert checkout.build()[MALLSING] == "failed"
    assert "git checkout HEAD -- assets/portraits/mallsing.png" in checkout.problems[MALLSING].hint
    assert len(checkout.calls()) == 0


def test_without_a_repository_it_is_generated(checkout: ProjectFolder) -> None:
    shutil.rmtree(checkout.root.parent / ".git")
    checkout.image("mallsing").unlink()
    assert checkout.build()[MALLSING] == "generated"


def test_another_image_than_the_lock_file_tells_of_is_said_to_be_one(folder: ProjectFolder, tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    address = f"file://{(tmp_path / 'team').as_posix()}"
    folder.settings = Settings(store=address)
    folder.job()
    folder.build()
    folder.settings = Settings(store=address, store_writes=False)
    folder.build("portraits:yrr", forced=True)
    other = folder.clone(tmp_path / "other")
    other.build()
    assert other.notes == {
        "portraits:mallsing": "from the shared store",
        "portraits:yrr": "from the shared store, a different one than the lock file records",
    }


def test_the_line_of_a_derived_file_that_a_clone_makes_anew_stays_as_it_is(
    folder: ProjectFolder, tmp_path: Path
) -> None:
    (tmp_path / "team").mkdir()
    folder.settings = Settings(store=f"file://{(tmp_path / 'team').as_posix()}")
    folder.job(derive={"thumb": {"width": 16}}, sheet={"cell": 16})
    folder.build()
    other = folder.clone(tmp_path / "other")
    assert sorted(set(other.build().values())) == ["derived", "restored"]
    assert other.lock() == folder.lock()
    for path in (other.root / "assets").rglob("*"):
        if path.is_file():
            path.unlink()
    assert set(other.build().values()) == {"restored"}
    assert other.lock() == folder.lock()


ITEMS = [{"name": "Mallsing", "prompt": "a tall figure"}, {"name": "Yrr", "prompt": "a small figure"}]
CHANGED = [ITEMS[0], {"name": "Yrr", "prompt": "a very small figure"}]
YRR = "portraits:yrr"
ANOTHER = "another one is recorded"


@pytest.fixture
def other(folder: ProjectFolder, tmp_path: Path) -> ProjectFolder:
    """A second checkout, as the first one left all; both with the same shared store."""
    (tmp_path / "team").mkdir()
    folder.settings = Settings(store=f"file://{(tmp_path / 'team').as_posix()}")
    folder.job(items=ITEMS)
    folder.build()
    found = folder.clone(tmp_path / "other")
    found.build()
    return found


def pull(to: ProjectFolder, source: ProjectFolder) -> None:
    shutil.copytree(source.root / "jobs", to.root / "jobs", dirs_exist_ok=True)


def alike(one: ProjectFolder, other: ProjectFolder) -> bool:
    return one.files() == other.files() and one.lock() == other.lock()


def reasons(folder: ProjectFolder) -> list[str]:
    project = folder.project()
    return [str(reason) for reason in project.verdict(folder.outputs(project)[YRR]).reasons]


def foreseen(folder: ProjectFolder) -> dict[str, str]:
    project = folder.project()
    outputs = folder.outputs(project).values()
    found = forecast(project, [(one, project.verdict(project.with_origins(one))) for one in outputs], ())
    return {one.output.task: one.act for one in found.images if one.act != "fresh"}


def test_what_another_checkout_made_anew_comes_here(folder: ProjectFolder, other: ProjectFolder) -> None:
    folder.job(items=CHANGED)
    folder.build()
    pull(other, folder)
    assert reasons(other) == [ANOTHER]
    assert other.build() == {YRR: "restored"}
    assert alike(other, folder)
    assert other.build() == {}
    assert len(other.calls()) == 0


def test_so_does_what_it_rerolled_with_what_is_made_from_it(folder: ProjectFolder, other: ProjectFolder) -> None:
    for one in (folder, other):
        one.job(items=ITEMS, derive={"thumb": {"width": 16}}, sheet={"cell": 16})
        one.build()
    folder.reroll(YRR)
    folder.build()
    pull(other, folder)
    assert other.build()[YRR] == "restored"
    assert alike(other, folder)


def test_a_checkout_goes_back_and_forth(folder: ProjectFolder, tmp_path: Path) -> None:
    folder.job(items=ITEMS)
    folder.build()
    before, lock = folder.files(), folder.lock()
    shutil.copytree(folder.root / "jobs", tmp_path / "before")
    folder.job(items=CHANGED)
    folder.build()
    shutil.copytree(tmp_path / "before", folder.root / "jobs", dirs_exist_ok=True)
    assert folder.build() == {YRR: "restored"}
    assert (folder.files(), folder.lock()) == (before, lock)
    assert len(folder.calls()) == 3


def test_where_it_cannot_be_had_it_is_made_as_in_a_clone(
    folder: ProjectFolder, other: ProjectFolder, tmp_path: Path
) -> None:
    folder.job(items=CHANGED)
    folder.build()
    shutil.rmtree(tmp_path / "team")
    pull(other, folder)
    assert foreseen(other) == {YRR: "generate"}
    assert other.build() == {YRR: "generated"}


@pytest.mark.parametrize("overwrite", ["own", "never"])
def test_what_was_changed_by_hand_here_stays(folder: ProjectFolder, other: ProjectFolder, overwrite: str) -> None:
    edited = other.touch_up("yrr")
    folder.job(items=CHANGED, output={"overwrite": overwrite})
    folder.image("yrr").unlink()
    folder.build()
    pull(other, folder)
    assert other.build() == {YRR: "kept"}
    assert other.image("yrr").read_bytes() == edited


def test_an_earlier_one_that_was_put_back_by_hand_stays(folder: ProjectFolder) -> None:
    folder.job(items=ITEMS)
    folder.build()
    earlier = folder.image("yrr").read_bytes()
    folder.job(items=CHANGED)
    folder.build()
    folder.image("yrr").write_bytes(earlier)
    assert folder.build() == {YRR: "kept"}
    assert folder.image("yrr").read_bytes() == earlier


def made_again(folder: ProjectFolder) -> None:
    """The same request, another file."""
    folder.backend = ScriptedBackend(Script(acts={"Yrr": [{"format": "webp"}]}))
    before = folder.image("yrr").read_bytes()
    assert folder.build(YRR, forced=True) == {YRR: "generated"}
    assert folder.image("yrr").read_bytes() != before


def test_one_that_was_made_again_for_the_same_request_comes_here(folder: ProjectFolder, other: ProjectFolder) -> None:
    made_again(folder)
    pull(other, folder)
    assert foreseen(other) == {YRR: "restore"}
    assert other.build() == {YRR: "restored"}
    assert alike(other, folder)


def test_where_that_cannot_be_had_ours_is_kept_and_not_drawn_again(folder: ProjectFolder, other: ProjectFolder) -> None:
    folder.settings = other.settings = Settings()
    made_again(folder)
    pull(other, folder)
    ours, lock = other.image("yrr").read_bytes(), other.lock()
    assert foreseen(other) == {YRR: "keep"}
    assert other.build() == {YRR: "kept"}
    assert "a different image for this request, and it isn't available here" in other.notes[YRR]
    assert (other.image("yrr").read_bytes(), other.lock(), len(other.calls())) == (ours, lock, 0)


def test_what_another_checkout_accepted_comes_in_place_of_ours(folder: ProjectFolder, other: ProjectFolder) -> None:
    edited = folder.touch_up("yrr")
    folder.accept(YRR)
    folder.build()
    pull(other, folder)
    assert reasons(other) == ["another one was accepted"]
    assert foreseen(other) == {YRR: "restore"}
    assert other.build() == {YRR: "restored"}
    assert other.image("yrr").read_bytes() == edited
    assert other.build() == {}


def test_where_what_was_accepted_cannot_be_had_ours_is_kept(folder: ProjectFolder, other: ProjectFolder) -> None:
    folder.settings = other.settings = Settings()
    folder.touch_up("yrr")
    folder.job(items=CHANGED)
    folder.accept(YRR)
    pull(other, folder)
    ours, lock = other.image("yrr").read_bytes(), other.lock()
    assert foreseen(other) == {YRR: "keep"}
    assert other.build() == {YRR: "kept"}
    assert other.notes[YRR] == "another file was accepted, which is not in the store"
    assert (other.image("yrr").read_bytes(), other.lock(), len(other.calls())) == (ours, lock, 0)
    assert other.build(YRR, forced=True) == {YRR: "generated"}


def test_one_that_was_drawn_in_place_of_an_accepted_one_comes_back(folder: ProjectFolder, other: ProjectFolder) -> None:
    edited = folder.touch_up("yrr")
    folder.accept(YRR)
    folder.build()
    pull(other, folder)
    other.build()
    made_again(folder)
    pull(other, folder)
    assert other.build() == {YRR: "restored"}
    assert alike(other, folder)
    assert other.is_kept(edited)


def test_verify_tells_it_from_a_hand_edit(folder: ProjectFolder, other: ProjectFolder) -> None:
    folder.job(items=CHANGED)
    folder.build()
    other.image("mallsing").write_bytes(picture("blue"))
    pull(other, folder)
    project = other.project()
    found = {one.name: one for one in verify_outputs(project, list(other.outputs(project).values()))}
    assert found["portraits:mallsing"].state == "changed"
    assert found[YRR].state == "wrong"
    assert found[YRR].note == "it is an earlier version: jobs/portraits.lock records a different one"


def test_an_accepted_file_stays_where_the_lock_file_is_put_back(folder: ProjectFolder) -> None:
    folder.job(items=ITEMS)
    folder.build()
    before = folder.lock()
    painted = folder.touch_up("yrr")
    folder.accept(YRR)
    for number in range(2):
        (folder.root / "jobs/portraits.lock").write_bytes(before)
        assert folder.build() == {YRR: "kept"}
        assert folder.image("yrr").read_bytes() == painted
        if number == 0:  # once more, where the build itself brought it back
            folder.accept(YRR)
            folder.image("yrr").unlink()
            assert folder.build() == {YRR: "restored"}


def test_what_git_brings_is_not_what_we_put_there(folder: ProjectFolder, other: ProjectFolder) -> None:
    earlier = other.image("yrr").read_bytes()
    folder.job(items=CHANGED)
    folder.build()
    pull(other, folder)
    other.image("yrr").unlink()
    other.image("yrr").write_bytes(earlier)  # as a checkout of an earlier commit would
    os.utime(other.image("yrr"), ns=(1, 1))
    assert other.build() == {YRR: "kept"}
    assert other.image("yrr").read_bytes() == earlier


def test_the_same_image_in_other_bytes_is_fresh_for_both(folder: ProjectFolder, other: ProjectFolder) -> None:
    other.job(items=CHANGED)
    other.build()
    pull(folder, other)
    lock = other.lock()
    (other.root / "jobs/portraits.lock").write_bytes(lock.replace(sha256(other.image("yrr")), b"0" * 64))
    assert other.build() == {}  # another release of an encoder wrote what the lock file tells of
    project = other.project()
    (found,) = verify_outputs(project, [other.outputs(project)[YRR]])
    assert found.state == "intact"


def sha256(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).hexdigest().encode()


def test_a_checkout_that_noted_nothing_knows_what_is_fresh_once_it_was_looked_through(
    folder: ProjectFolder, other: ProjectFolder
) -> None:
    (other.root / ".imagegen/placed.txt").unlink()
    for slug in ("mallsing", "yrr"):
        os.utime(other.image(slug), ns=(1, 1))  # what has just been written may still change unnoticed
    project = other.project()
    assert {project.verdict(output).state for output in other.outputs(project).values()} == {"fresh"}
    project.record_fresh_files(other.outputs(project).values())
    noted = (other.root / ".imagegen/placed.txt").read_bytes()
    project.record_fresh_files(other.outputs(project).values())
    assert (other.root / ".imagegen/placed.txt").read_bytes() == noted
    folder.job(items=CHANGED)
    folder.build()
    pull(other, folder)
    assert other.build() == {YRR: "restored"}
    assert alike(other, folder)


def test_an_image_that_was_gone_back_to_answers_its_own_request(folder: ProjectFolder, other: ProjectFolder) -> None:
    folder.settings = other.settings = Settings()
    other.reroll(YRR)
    other.build()
    other.restore(YRR)
    made_again(folder)
    pull(other, folder)
    calls = len(other.calls())
    assert other.build() == {YRR: "kept"}
    assert len(other.calls()) == calls


def test_the_recorded_one_comes_before_another_that_is_here(folder: ProjectFolder, other: ProjectFolder) -> None:
    folder.job(items=CHANGED)
    other.job(items=CHANGED)
    other.settings, shared = Settings(), other.settings
    for one in (folder, other):
        one.build()
    other.job(items=ITEMS)
    other.build()
    other.settings = shared
    pull(other, folder)
    assert other.build() == {YRR: "restored"}
    assert alike(other, folder)
