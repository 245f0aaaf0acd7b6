"""Which files an edit changed, as they are on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagegen.state.hashes import NEVER, stat_key
from imagegen.watch.contents import JOBS, Contents


@pytest.fixture
def contents(tmp_path: Path) -> Contents:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/a.yaml").write_text("a")
    (tmp_path / "wildcards").mkdir()
    found = Contents(tmp_path)
    found.follow(dict.fromkeys([JOBS, "jobs/a.yaml", "wildcards", "missing/prompts.csv"], NEVER))
    return found


def edited(contents: Contents) -> list[str]:
    return contents.note(contents.find_changed())


def test_a_save_counts_once_and_only_if_it_changes_anything(contents: Contents, tmp_path: Path) -> None:
    job = tmp_path / "jobs/a.yaml"
    job.write_text("a")
    assert edited(contents) == []
    job.write_text("b")
    assert contents.find_changed() == contents.find_changed()
    assert edited(contents) == ["jobs/a.yaml"]
    assert edited(contents) == []
    (tmp_path / "jobs/.a.yaml.swp").write_text("temporary")
    (tmp_path / "jobs/a.yaml~").write_text("c")
    (tmp_path / "jobs/a.yaml~").replace(job)
    assert edited(contents) == ["jobs/a.yaml"]


def test_a_file_that_is_empty_for_a_moment_is_as_if_it_were_missing(contents: Contents, tmp_path: Path) -> None:
    job = tmp_path / "jobs/a.yaml"
    job.write_text("")
    assert contents.find_changed() == {"jobs/a.yaml": b""}
    job.write_text("a")
    assert contents.find_changed() == {}


def test_new_and_removed_files_of_a_folder_are_named(contents: Contents, tmp_path: Path) -> None:
    (tmp_path / "jobs/b.yaml").write_text("b")
    (tmp_path / "jobs/a.lock").write_text("written by a build")
    (tmp_path / "jobs/a.yaml").unlink()
    (tmp_path / "wildcards/hair.txt").write_text("red")
    (tmp_path / "wildcards/4913").write_text("")
    assert edited(contents) == ["jobs/a.yaml", "jobs/b.yaml", "wildcards/hair.txt"]


def test_a_file_that_was_missing_is_found_and_its_folder_is_followed(contents: Contents, tmp_path: Path) -> None:
    assert contents.folders() == {str(tmp_path), str(tmp_path / "jobs"), str(tmp_path / "wildcards")}
    (tmp_path / "missing").mkdir()
    assert str(tmp_path / "missing") in contents.folders()
    (tmp_path / "missing/prompts.csv").write_text("name,prompt")
    assert edited(contents) == ["missing/prompts.csv"]


def test_what_is_followed_anew_is_known_as_it_is(contents: Contents, tmp_path: Path) -> None:
    (tmp_path / "jobs/a.yaml").write_text("b")
    (tmp_path / "more.md").write_text("more")
    contents.follow({"jobs/a.yaml": NEVER, "more.md": NEVER})
    assert edited(contents) == ["jobs/a.yaml"]


def test_what_has_changed_since_it_was_read_counts_as_edited(contents: Contents, tmp_path: Path) -> None:
    (tmp_path / "more.md").write_text("more")
    read = {"more.md": stat_key(tmp_path / "more.md"), "other.md": None}
    contents.follow(read)
    assert edited(contents) == []
    contents.follow({})
    (tmp_path / "more.md").write_text("more than that")
    (tmp_path / "other.md").write_text("new")
    contents.follow(read)
    assert edited(contents) == ["more.md", "other.md"]
    assert edited(contents) == []
