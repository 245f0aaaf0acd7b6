from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from imagegen.execute.verify import Finding, verify_orphans, verify_outputs, verify_store
from tests.execute.workshop import Workshop

ITEMS = [{"name": name, "prompt": f"a {name}"} for name in ("A", "B", "C", "D")]


def findings(workshop: Workshop) -> list[Finding]:
    project = workshop.project()
    outputs = list(workshop.outputs(project).values())
    return [*verify_outputs(project, outputs), *verify_store(project), *verify_orphans(project, project.plans(), None)]


def wrong(workshop: Workshop) -> dict[str, str]:
    return {finding.name: finding.state for finding in findings(workshop) if not finding.is_right}


@pytest.fixture
def built(workshop: Workshop) -> Workshop:
    workshop.job(items=ITEMS)
    workshop.build()
    return workshop


def test_what_is_as_recorded_is_intact(built: Workshop) -> None:
    assert Counter(finding.state for finding in findings(built)) == {"intact": 8}


@pytest.mark.parametrize("encoding", [{"format": "webp"}, {"format": "jpeg"}, {"metadata": "none"}])
def test_every_encoding_is_verified_with_its_own_provenance(workshop: Workshop, encoding: dict[str, str]) -> None:
    workshop.job(items=ITEMS, output=encoding)
    workshop.build()
    assert wrong(workshop) == {}


def test_derived_files_are_held_against_their_lines_too(workshop: Workshop) -> None:
    workshop.job(derive={"thumb": {"width": 16, "format": "webp"}}, sheet={"cell": 16})
    workshop.build()
    assert {finding.state for finding in findings(workshop)} == {"intact"}
    folder = workshop.root / "assets/portraits"
    (folder / "yrr-thumb.webp").write_bytes((folder / "yrr-thumb.webp").read_bytes()[:-10])
    with (folder / "sheet.json").open("a") as file:
        file.write(" ")
    (folder / "sheet.png").unlink()
    assert wrong(workshop) == {
        "portraits:yrr:thumb": "corrupt",
        "portraits:sheet": "missing",
        "portraits:sheet:index": "changed",
    }


def test_what_was_never_made_and_what_is_stale_is_not_wrong(built: Workshop) -> None:
    built.job(items=[*ITEMS[:3], ITEMS[3] | {"prompt": "other"}, {"name": "E", "prompt": "new"}])
    assert wrong(built) == {}
    assert "new" in [finding.state for finding in findings(built)]


def test_what_is_missing_changed_corrupt_or_a_folder_is_told_with_what_to_do(built: Workshop) -> None:
    built.path("a").unlink()
    built.touch_up("b")
    whole = built.path("c").read_bytes()
    built.path("c").write_bytes(whole[:-20])
    built.path("d").unlink()
    built.path("d").mkdir()
    states = {
        f"portraits:{name}": state
        for name, state in zip("abcd", ["missing", "changed", "corrupt", "wrong"], strict=True)
    }
    assert wrong(built) == states
    assert all(finding.hint for finding in findings(built) if not finding.is_right)


def test_a_flipped_bit_is_found_though_size_and_time_are_the_same(built: Workshop) -> None:
    before = built.path("a").stat()
    data = bytearray(built.path("a").read_bytes())
    data[-30] ^= 1
    with built.path("a").open("r+b") as file:
        file.write(data)
    os.utime(built.path("a"), ns=(before.st_atime_ns, before.st_mtime_ns))
    assert wrong(built) == {"portraits:a": "corrupt"}


def test_accepted_files_are_right_until_they_change(built: Workshop) -> None:
    built.touch_up("a")
    built.accept("portraits:a")
    assert wrong(built) == {}
    built.touch_up("a", "blue")
    assert wrong(built) == {"portraits:a": "changed"}


def test_git_lfs_pointers_are_not_fetched_and_not_wrong(built: Workshop) -> None:
    (line,) = built.project().lock("portraits").lines["assets/portraits/a.png"]
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 9\n"
    built.path("a").write_text(pointer.format(line.sha256))
    assert wrong(built) == {}
    assert "pointer" in [finding.state for finding in findings(built)]
    built.path("a").write_text(pointer.format("0" * 64))
    assert wrong(built) == {"portraits:a": "changed"}


def test_a_lock_line_that_does_not_fit_its_file_is_told(built: Workshop) -> None:
    lock = built.root / "jobs/portraits.lock"
    lock.write_text(lock.read_text().replace('"prompt":"a A"', '"prompt":"a Z"'))
    assert wrong(built) == {"portraits:a": "wrong"}
    assert "a different request" in next(finding.note for finding in findings(built) if not finding.is_right)


def test_the_store_is_held_against_its_hashes(built: Workshop) -> None:
    blob = next(path for path in (built.root / ".imagegen/store/blobs").rglob("*") if path.is_file())
    blob.write_bytes(b"rotten")
    assert list(wrong(built).values()) == ["corrupt"]


def test_what_belongs_to_no_item_is_told_and_candidates_are_not(workshop: Workshop) -> None:
    workshop.job(items=ITEMS, variants=2)
    workshop.build()
    workshop.pick("a", 1)
    assert wrong(workshop) == {}
    workshop.job(items=ITEMS[:2], variants=2)
    workshop.path("c-v1").unlink()
    workshop.touch_up("c-v2")
    found = {finding.name: finding for finding in findings(workshop) if not finding.is_right}
    assert {finding.state for finding in found.values()} == {"orphaned"}
    assert sorted(Path(name).stem for name in found) == ["c-v1", "c-v2", "d-v1", "d-v2"]
    assert "removes the line" in found["assets/portraits/c-v1.png"].hint
    assert "changed since it was generated" in found["assets/portraits/c-v2.png"].note


def test_lock_files_of_jobs_that_are_gone_are_told(built: Workshop) -> None:
    built.job("other", items=[{"name": "E", "prompt": "e"}])
    (built.root / "jobs/portraits.yaml").unlink()
    assert set(wrong(built).values()) == {"orphaned"}
    assert len(wrong(built)) == 4


def test_without_its_state_a_clone_is_intact(built: Workshop) -> None:
    shutil.rmtree(built.root / ".imagegen")
    assert wrong(built) == {}
