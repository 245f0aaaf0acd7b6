from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from imagegen.backends.comfyui.install import Checkout, check_folder, update_checkout
from imagegen.errors import ImagegenError
from tests.backends.comfyui.upstream import Upstream, git, killing_program
from tests.marks import long


@pytest.fixture
def checkout(root: Path, upstream: Upstream) -> Checkout:
    return Checkout(root, str(upstream.folder), "v1")


def main(checkout: Checkout) -> str:
    return (checkout.folder / "main.py").read_text()


def refused(checkout: Checkout, newest: bool = False) -> str:
    with pytest.raises(ImagegenError) as caught:
        update_checkout(checkout, newest)
    return str(caught.value)


@pytest.mark.parametrize("length", [7, 12, 40])
def test_a_commit_can_be_pinned(checkout: Checkout, upstream: Upstream, length: int) -> None:
    commit = git(upstream.folder, "rev-parse", "v1")
    upstream.release("v2")
    pinned = replace(checkout, revision=commit[:length])
    update_checkout(pinned, newest=False)
    assert pinned.commit == commit
    assert main(checkout) == "print('v1')\n"


@pytest.mark.parametrize("revision", ["v2", "master"])
def test_a_tag_or_a_branch_can_be_pinned(checkout: Checkout, upstream: Upstream, revision: str) -> None:
    commit = upstream.release("v2")
    update_checkout(replace(checkout, revision=revision), newest=False)
    assert checkout.commit == commit


def test_a_second_time_asks_the_repository_nothing(checkout: Checkout, upstream: Upstream) -> None:
    update_checkout(checkout, newest=False)
    shutil.rmtree(upstream.folder)
    update_checkout(checkout, newest=False)
    assert main(checkout) == "print('v1')\n"


def test_an_earlier_release_is_checked_out_without_the_repository(checkout: Checkout, upstream: Upstream) -> None:
    upstream.release("v2")
    update_checkout(replace(checkout, revision="v2"), newest=False)
    shutil.rmtree(upstream.folder)
    update_checkout(checkout, newest=False)
    assert main(checkout) == "print('v1')\n"


def test_a_branch_stays_where_it_was_until_its_newest_is_asked_for(checkout: Checkout, upstream: Upstream) -> None:
    branch = replace(checkout, revision="master")
    update_checkout(branch, newest=False)
    commit = upstream.release("v2")
    update_checkout(branch, newest=False)
    assert main(branch) == "print('v1')\n"
    update_checkout(branch, newest=True)
    assert (branch.commit, main(branch)) == (commit, "print('v2')\n")


@pytest.mark.parametrize("step", [4, long(1)])
def test_it_goes_on_after_a_kill_at_any_call_of_git(
    checkout: Checkout, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    upstream.release("v2")
    real = shutil.which("git")
    assert real
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    code = (
        "import sys; from pathlib import Path; from imagegen.backends.comfyui.install import Checkout, update_checkout\n"
        "update_checkout(Checkout(Path(sys.argv[1]), sys.argv[2], sys.argv[3]), False)"
    )
    killed = 0
    for at in range(1, 100, step):
        for revision in ("v1", "v2"):
            killing_program(programs / "git", real, at, tmp_path / f"count-{at}-{revision}")
            command = [sys.executable, "-c", code, str(checkout.root), checkout.repository, revision]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            assert result.returncode in (0, -9), result.stderr
            killed += result.returncode == -9
            (programs / "git").unlink()
            update_checkout(replace(checkout, revision=revision), newest=False)
            assert main(checkout) == f"print('{revision}')\n"
            assert git(checkout.folder, "status", "--porcelain") == ""
        if result.returncode == 0:
            break
        shutil.rmtree(checkout.folder)
    assert killed * step > 10


def half(folder: Path, state: str) -> None:
    """Leave the clone as a kill within one call of git does."""
    if state == "a folder":
        folder.mkdir(parents=True)
        return
    (folder / ".git").mkdir(parents=True)
    if state == "locked":
        git(folder, "init", "--quiet")
        (folder / ".git" / "config.lock").write_text("")


@pytest.mark.parametrize("state", ["a folder", "no repository yet", "locked"])
def test_a_clone_that_was_hardly_begun_is_finished(checkout: Checkout, state: str) -> None:
    half(checkout.folder, state)
    update_checkout(checkout, newest=False)
    assert main(checkout) == "print('v1')\n"


def test_a_checkout_that_was_killed_between_two_files_is_finished(checkout: Checkout, upstream: Upstream) -> None:
    update_checkout(checkout, newest=False)
    upstream.release("v2", **{"nodes.py": "new"})
    (checkout.folder / "main.py").write_text("print('v")
    (checkout.folder / "nodes.py").write_text("ne")
    (checkout.folder / ".git" / "index.lock").write_text("")
    checkout.unfinished.touch()
    assert checkout.commit is None
    update_checkout(replace(checkout, revision="v2"), newest=False)
    assert main(checkout) == "print('v2')\n"
    assert git(checkout.folder, "status", "--porcelain") == ""


def test_models_custom_nodes_and_untracked_files_stay(checkout: Checkout, upstream: Upstream) -> None:
    mine = {"models/checkpoints/a.safetensors": "weights", "custom_nodes/mine/__init__.py": "node", "notes.txt": "mine"}
    for name, text in list(mine.items())[:2]:  # these may be there before the clone is
        (checkout.folder / name).parent.mkdir(parents=True)
        (checkout.folder / name).write_text(text)
    update_checkout(checkout, newest=False)
    (checkout.folder / "notes.txt").write_text("mine")
    before = {name: (checkout.folder / name).stat().st_mtime_ns for name in mine}
    upstream.release("v2", **{"models/checkpoints/put_checkpoints_here": ""})
    update_checkout(replace(checkout, revision="v2"), newest=True)
    assert main(checkout) == "print('v2')\n"
    assert {name: (checkout.folder / name).read_text() for name in mine} == mine
    assert {name: (checkout.folder / name).stat().st_mtime_ns for name in mine} == before


def test_a_file_of_the_users_is_not_replaced_by_one_of_the_release(checkout: Checkout, upstream: Upstream) -> None:
    config = checkout.folder / "models/configs/v1.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("mine")
    upstream.release("v2", **{"models/configs/v1.yaml": "theirs"})
    text = refused(replace(checkout, revision="v2"))
    assert "| \tmodels/configs/v1.yaml" in text
    assert config.read_text() == "mine"
    assert refused(replace(checkout, revision="v2")) == text, "a second time forces nothing either"
    config.unlink()
    update_checkout(replace(checkout, revision="v2"), newest=False)
    assert config.read_text() == "theirs"


@pytest.mark.parametrize("newest", [False, True])
def test_local_changes_are_refused_and_stay(checkout: Checkout, upstream: Upstream, newest: bool) -> None:
    update_checkout(checkout, newest=False)
    (checkout.folder / "main.py").write_text("mine")
    upstream.release("v2")
    text = refused(replace(checkout, revision="v2"), newest)
    assert text.startswith("tools/ComfyUI: has local changes, and is left as it is: main.py\n")
    assert main(checkout) == "mine"


def test_local_changes_at_the_pinned_revision_are_in_nobodys_way(checkout: Checkout) -> None:
    update_checkout(checkout, newest=False)
    (checkout.folder / "main.py").write_text("mine")
    update_checkout(checkout, newest=False)
    assert main(checkout) == "mine"


def test_commits_that_are_on_no_branch_are_refused_and_stay(checkout: Checkout, upstream: Upstream) -> None:
    update_checkout(checkout, newest=False)
    git(checkout.folder, "commit", "--quiet", "--allow-empty", "-m", "mine")
    mine = checkout.commit
    upstream.release("v2")
    assert "commits of its own that are on no branch" in refused(replace(checkout, revision="v2"))
    assert checkout.commit == mine
    git(checkout.folder, "branch", "mine")
    update_checkout(replace(checkout, revision="v2"), newest=False)
    assert git(checkout.folder, "rev-parse", "mine") == mine


def test_a_branch_that_was_rewritten_upstream_is_no_commit_of_the_users(checkout: Checkout, upstream: Upstream) -> None:
    branch = replace(checkout, revision="master")
    git(upstream.folder, "tag", "-d", "v1")
    update_checkout(branch, newest=False)
    git(upstream.folder, "commit", "--quiet", "--amend", "-m", "rewritten")
    update_checkout(branch, newest=True)
    update_checkout(branch, newest=True)
    assert branch.commit == git(upstream.folder, "rev-parse", "master")


def test_a_folder_with_something_else_is_refused_and_stays(checkout: Checkout) -> None:
    checkout.folder.mkdir(parents=True)
    (checkout.folder / "main.py").write_text("an unpacked archive")
    assert "is there already, and is not a git clone of" in refused(checkout)
    assert main(checkout) == "an unpacked archive"
    assert not (checkout.folder / ".git").exists()


def test_a_clone_of_another_repository_is_refused_and_stays(checkout: Checkout, tmp_path: Path) -> None:
    update_checkout(checkout, newest=False)
    other = Upstream(tmp_path / "fork")
    other.release("v3")
    text = refused(replace(checkout, repository=str(other.folder), revision="v3"))
    assert text.startswith(f"tools/ComfyUI: is a clone of {checkout.repository}, not of {other.folder}\n")
    assert main(checkout) == "print('v1')\n"


def test_a_file_in_its_place_is_refused(checkout: Checkout) -> None:
    checkout.folder.parent.mkdir()
    checkout.folder.write_text("a file")
    assert refused(checkout) == "tools/ComfyUI: is not a folder\n    move it away"


@pytest.mark.parametrize(
    "origin",
    ["https://example.org/Art/ComfyUI.git", "git@example.org:art/ComfyUI", "ssh://git@example.org/art/ComfyUI/"],
)
def test_one_repository_has_several_addresses(root: Path, origin: str) -> None:
    checkout = Checkout(root, "https://example.org/art/ComfyUI", "v1")
    checkout.folder.mkdir(parents=True)
    git(checkout.folder, "init", "--quiet")
    git(checkout.folder, "remote", "add", "origin", origin)
    (checkout.folder / "main.py").write_text("")
    check_folder(checkout)
    with pytest.raises(ImagegenError, match="is a clone of"):
        check_folder(replace(checkout, repository="https://example.org/art/another"))


def test_an_unknown_revision_is_told_with_the_nearest(checkout: Checkout, upstream: Upstream) -> None:
    upstream.release("v0.33.0")
    text = refused(replace(checkout, revision="v0.33"))
    assert "has no tag, branch or commit 'v0.33'; did you mean 'v0.33.0'?" in text
    update_checkout(replace(checkout, revision="v0.33.0"), newest=False)
    assert main(checkout) == "print('v0.33.0')\n"


def test_a_repository_out_of_reach_is_told_in_gits_words_and_mended_by_another_setting(checkout: Checkout) -> None:
    text = refused(replace(checkout, repository="http://127.0.0.1:9/comfyui"))
    assert text.startswith("http://127.0.0.1:9/comfyui cannot be fetched (exit code 128):\n    | fatal: ")
    update_checkout(checkout, newest=False)
    assert main(checkout) == "print('v1')\n"


def test_a_path_counts_from_the_project(checkout: Checkout, upstream: Upstream) -> None:
    beside = replace(checkout, repository="../upstream")
    update_checkout(beside, newest=False)
    assert main(checkout) == "print('v1')\n"
    shutil.rmtree(upstream.folder)
    update_checkout(beside, newest=False)


def test_the_projects_own_repository_is_left_alone(checkout: Checkout) -> None:
    git(checkout.root, "init", "--quiet")
    (checkout.root / "job.yaml").write_text("a")
    git(checkout.root, "add", "job.yaml")
    git(checkout.root, "commit", "--quiet", "-m", "mine")
    (checkout.root / "job.yaml").write_text("changed")
    (checkout.folder / ".git").mkdir(parents=True)
    before = git(checkout.root, "rev-parse", "HEAD")
    update_checkout(checkout, newest=True)
    assert git(checkout.root, "rev-parse", "HEAD") == before
    assert git(checkout.root, "remote") == ""
    assert (checkout.root / "job.yaml").read_text() == "changed"
    assert checkout.commit not in (None, before)
