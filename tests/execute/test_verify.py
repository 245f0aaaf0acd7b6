from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from imagegen.execute.verify import Finding, verify_orphans, verify_outputs, verify_store
from imagegen.images.image_file import ImageFile, verify
from tests.project_folder import ProjectFolder

ITEMS = [{"name": name, "prompt": f"a {name}"} for name in ("A", "B", "C", "D")]


def findings(folder: ProjectFolder) -> list[Finding]:
    project = folder.project()
    outputs = list(folder.outputs(project).values())
    return [*verify_outputs(project, outputs), *verify_store(project), *verify_orphans(project, project.plans(), None)]


def wrong(folder: ProjectFolder) -> dict[str, str]:
    return {finding.name: finding.state for finding in findings(folder) if not finding.is_right}


@pytest.fixture
def built(folder: ProjectFolder) -> ProjectFolder:
    folder.job(items=ITEMS)
    folder.build()
    return folder


def test_what_is_as_recorded_is_intact(built: ProjectFolder) -> None:
    assert Counter(finding.state for finding in findings(built)) == {"intact": 8}


@pytest.mark.parametrize("encoding", [{"format": "webp"}, {"format": "avif"}, {"format": "jpeg"}, {"metadata": "none"}])
def test_every_encoding_is_verified_with_its_own_provenance(folder: ProjectFolder, encoding: dict[str, str]) -> None:
    folder.job(items=ITEMS, output=encoding)
    folder.build()
    assert wrong(folder) == {}


def test_derived_files_are_held_against_their_lines_too(folder: ProjectFolder) -> None:
    folder.job(derive={"thumb": {"width": 16, "format": "webp"}}, sheet={"cell": 16})
    folder.build()
    assert {finding.state for finding in findings(folder)} == {"intact"}
    images = folder.root / "assets/portraits"
    (images / "yrr-thumb.webp").write_bytes((images / "yrr-thumb.webp").read_bytes()[:-10])
    with (images / "sheet.json").open("a") as file:
        file.write(" ")
    (images / "sheet.png").unlink()
    assert wrong(folder) == {
        "portraits:yrr:thumb": "corrupt",
        "portraits:sheet": "missing",
        "portraits:sheet:index": "changed",
    }


def test_what_was_never_made_and_what_is_stale_is_not_wrong(built: ProjectFolder) -> None:
    built.job(items=[*ITEMS[:3], ITEMS[3] | {"prompt": "other"}, {"name": "E", "prompt": "new"}])
    assert wrong(built) == {}
    assert "new" in [finding.state for finding in findings(built)]


def test_what_is_missing_changed_corrupt_or_a_folder_is_told_with_what_to_do(built: ProjectFolder) -> None:
    built.image("a").unlink()
    built.touch_up("b")
    whole = built.image("c").read_bytes()
    built.image("c").write_bytes(whole[:-20])
    built.image("d").unlink()
    built.image("d").mkdir()
    states = {
        f"portraits:{name}": state
        for name, state in zip("abcd", ["missing", "changed", "corrupt", "wrong"], strict=True)
    }
    assert wrong(built) == states
    assert all(finding.hint for finding in findings(built) if not finding.is_right)


def test_a_flipped_bit_is_found_though_size_and_time_are_the_same(built: ProjectFolder) -> None:
    before = built.image("a").stat()
    data = bytearray(built.image("a").read_bytes())
    data[-30] ^= 1
    with built.image("a").open("r+b") as file:
        file.write(data)
    os.utime(built.image("a"), ns=(before.st_atime_ns, before.st_mtime_ns))
    assert wrong(built) == {"portraits:a": "corrupt"}


def test_only_what_is_not_as_recorded_is_decoded(built: ProjectFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []

    def count(data: bytes, **options: bool) -> ImageFile:
        decoded.append(data)
        return verify(data, **options)

    monkeypatch.setattr("imagegen.execute.verify.verify", count)
    assert wrong(built) == {}
    assert decoded == []
    built.touch_up("a")
    assert wrong(built) == {"portraits:a": "changed"}
    assert decoded == [built.image("a").read_bytes()]


def test_accepted_files_are_right_until_they_change(built: ProjectFolder) -> None:
    built.touch_up("a")
    built.accept("portraits:a")
    assert wrong(built) == {}
    built.touch_up("a", "blue")
    assert wrong(built) == {"portraits:a": "changed"}


def test_git_lfs_pointers_are_not_fetched_and_not_wrong(built: ProjectFolder) -> None:
    (line,) = built.project().lock("portraits").lines["assets/portraits/a.png"]
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 9\n"
    built.image("a").write_text(pointer.format(line.sha256))
    assert wrong(built) == {}
    assert "pointer" in [finding.state for finding in findings(built)]
    built.image("a").write_text(pointer.format("0" * 64))
    assert wrong(built) == {"portraits:a": "changed"}


def test_a_lock_line_that_does_not_fit_its_file_is_told(built: ProjectFolder) -> None:
    lock = built.root / "jobs/portraits.lock"
    lock.write_text(lock.read_text().replace('"prompt":"a A"', '"prompt":"a Z"'))
    assert wrong(built) == {"portraits:a": "wrong"}
    assert "a different request" in next(finding.note for finding in findings(built) if not finding.is_right)


def test_the_store_is_held_against_its_hashes(built: ProjectFolder) -> None:
    blob = next(path for path in (built.root / ".imagegen/store/blobs").rglob("*") if path.is_file())
    blob.write_bytes(b"rotten")
    assert list(wrong(built).values()) == ["corrupt"]


def test_what_belongs_to_no_item_is_told_and_candidates_are_not(folder: ProjectFolder) -> None:
    folder.job(items=ITEMS, variants=2)
    folder.build()
    folder.pick("a", 1)
    assert wrong(folder) == {}
    folder.job(items=ITEMS[:2], variants=2)
    folder.image("c-v1").unlink()
    folder.touch_up("c-v2")
    found = {finding.name: finding for finding in findings(folder) if not finding.is_right}
    assert {finding.state for finding in found.values()} == {"orphaned"}
    assert sorted(Path(name).stem for name in found) == ["c-v1", "c-v2", "d-v1", "d-v2"]
    assert "removes the line" in found["assets/portraits/c-v1.png"].hint
    assert "changed since it was generated" in found["assets/portraits/c-v2.png"].note


def test_lock_files_of_jobs_that_are_gone_are_told(built: ProjectFolder) -> None:
    built.job("other", items=[{"name": "E", "prompt": "e"}])
    (built.root / "jobs/portraits.yaml").unlink()
    assert set(wrong(built).values()) == {"orphaned"}
    assert len(wrong(built)) == 4


def test_without_its_state_a_clone_is_intact(built: ProjectFolder) -> None:
    shutil.rmtree(built.root / ".imagegen")
    assert wrong(built) == {}


def test_how_many_files_are_checked_is_told_up_to_the_last(built: ProjectFolder) -> None:
    project = built.project()
    seen: list[tuple[int, int]] = []
    verify_outputs(project, list(built.outputs(project).values()), lambda *now: seen.append(now))
    verify_store(project, lambda *now: seen.append(now))
    assert seen == [(4, 4), (4, 4)]
