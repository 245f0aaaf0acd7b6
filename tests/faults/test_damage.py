"""What is on disk was damaged: the lock file, the store, an output's place; and a clock that went back."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imagegen.errors import ImagegenError
from imagegen.execute.events import Event, Outcome
from imagegen.execute.run import run
from imagegen.execute.verify import verify_store
from imagegen.images.image_file import verify
from tests.marks import long
from tests.project_folder import SMALL_JOB, ProjectFolder
from tests.scripted import Script, ScriptedBackend

ITEMS: list[dict[str, Any]] = SMALL_JOB["items"]
LOCK = "jobs/portraits.lock"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two images, each with an earlier version in the store, an accepted edit and a drawn seed."""
    folder = ProjectFolder(tmp_path_factory.mktemp("built") / "project", SMALL_JOB)
    folder.job(items=[*ITEMS, {"name": "Okka", "prompt": "an old one"}])
    folder.build()
    folder.job(
        items=[*ITEMS, {"name": "Okka", "prompt": "an old one"}], generate={"width": 32, "height": 32, "steps": 9}
    )
    folder.build()
    folder.reroll("portraits:yrr")
    folder.build()
    folder.touch_up("okka")
    folder.accept("portraits:okka")
    assert set(folder.states().values()) <= {"fresh", "kept"}
    return folder.root


@pytest.fixture
def copies(built: Path, tmp_path: Path) -> Callable[[], ProjectFolder]:
    """Each a whole copy of the project, but for the times of its files."""
    count = iter(range(10**6))

    def copied() -> ProjectFolder:
        root = tmp_path / str(next(count))
        shutil.copytree(built, root)
        return ProjectFolder(root, SMALL_JOB)

    return copied


def problems(folder: ProjectFolder) -> list[str]:
    """With the plan or with the images, as they are told."""
    project = folder.project()
    plans = project.plans()
    found = [problem for plan in plans for problem in plan.problems]
    reported: list[Event] = []
    try:
        run(project, [one for plan in plans for one in plan.outputs], reported.append)
    except ImagegenError as error:
        found += error.problems
    found += [one.problem for one in reported if isinstance(one, Outcome) and one.problem]
    return [str(problem) for problem in found]


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def are_all_right(folder: ProjectFolder) -> bool:
    return not problems(folder) and set(folder.states().values()) <= {"fresh", "kept"}


# --- the lock file


@pytest.mark.parametrize("step", [97, long(7)])
def test_one_that_was_cut_anywhere_costs_no_image(copies: Callable[[], ProjectFolder], step: int) -> None:
    whole = copies().lock()
    for length in range(0, len(whole), step):
        folder = copies()
        images = folder.files()
        (folder.root / LOCK).write_bytes(whole[:length])
        problems(folder)  # an accepted edit whose line is lost is in the way, and is told; it stays
        assert len(folder.calls()) <= 1, length  # of a seed that was drawn and is lost, another is drawn
        assert all(folder.is_kept(data) for data in images.values()), length
        (folder.root / LOCK).write_bytes(whole)
        for path, data in images.items():
            (folder.root / path).write_bytes(data)
        assert are_all_right(folder), length


def test_one_with_conflict_markers_is_refused_in_its_place_and_right_once_they_are_gone(
    copies: Callable[[], ProjectFolder],
) -> None:
    folder = copies()
    before = tree(folder.root)
    lines = folder.lock().splitlines(keepends=True)
    (folder.root / LOCK).write_bytes(
        b"".join([lines[0], b"<<<<<<< HEAD\n", lines[1], b"=======\n", lines[2], b">>>>>>> theirs\n", *lines[3:]])
    )
    (reported,) = problems(folder)
    assert reported.startswith(f"{LOCK}:2: has unresolved merge-conflict markers\n    delete the marker lines")
    after = tree(folder.root)
    assert {path: data for path, data in after.items() if path != LOCK} == {
        path: data for path, data in before.items() if path != LOCK
    }
    (folder.root / LOCK).write_bytes(b"".join(lines))
    assert are_all_right(folder)


def flipped(data: bytes, step: int) -> Iterator[tuple[int, bytes]]:
    for position in range(step // 2, len(data), step):
        yield position, data[:position] + bytes([data[position] ^ 1 << position % 8]) + data[position + 1 :]


@pytest.mark.parametrize("step", [71, long(7)])
def test_one_with_a_flipped_bit_is_refused_or_costs_no_image(copies: Callable[[], ProjectFolder], step: int) -> None:
    refused = 0
    for position, data in flipped(copies().lock(), step):
        folder = copies()
        images = folder.files()
        whole = folder.lock()
        (folder.root / LOCK).write_bytes(data)
        reported = problems(folder)
        refused += any(one.startswith(f"{LOCK}:") for one in reported)
        assert not any("fault in imagegen" in one for one in reported), (position, reported)
        assert len(folder.calls()) <= 1, position
        assert all(folder.is_kept(data) for data in images.values()), position
        (folder.root / LOCK).write_bytes(whole)
        for path, content in images.items():
            (folder.root / path).write_bytes(content)
        assert are_all_right(folder), position
    assert refused > 5


# --- the store


def blobs(folder: ProjectFolder) -> list[Path]:
    return sorted(path for path in (folder.root / ".imagegen/store/blobs").rglob("*") if path.is_file())


def test_flipped_bits_in_the_store_never_reach_an_image(copies: Callable[[], ProjectFolder]) -> None:
    folder = copies()
    images = folder.files()
    assert len(blobs(folder)) > 5
    for blob in blobs(folder):
        ((_, data), *_) = flipped(blob.read_bytes(), 60)
        blob.write_bytes(data)
    assert {finding.state for finding in verify_store(folder.project())} == {"corrupt"}
    assert set(folder.states().values()) <= {"fresh", "kept"}
    (edited,) = (path for path in images if "okka" in path)
    for path in images:
        if path != edited:
            (folder.root / path).unlink()
    assert problems(folder) == []
    assert len(folder.calls()) == 2  # the store cannot give them back, so they are drawn; they are as they were
    assert folder.files() == images
    assert are_all_right(folder)


def test_an_edit_whose_copy_went_bad_is_not_drawn_over(copies: Callable[[], ProjectFolder]) -> None:
    folder = copies()
    edited = folder.image("okka")
    whole = edited.read_bytes()
    for blob in blobs(folder):
        if blob.read_bytes() == whole:
            blob.write_bytes(whole[:-1])
    edited.unlink()
    (reported,) = problems(folder)
    assert "accepted" in reported
    assert len(folder.calls()) == 0
    edited.write_bytes(whole)
    assert are_all_right(folder)


def test_an_index_with_flipped_bits_costs_at_most_its_own_image(copies: Callable[[], ProjectFolder]) -> None:
    index = sorted((copies().root / ".imagegen/store/index").rglob("*.jsonl"))
    assert len(index) > 3
    for number, path in enumerate(index):
        for _, data in flipped(path.read_bytes(), 301):
            folder = copies()
            images = folder.files()
            (folder.root / ".imagegen/store/index" / path.parent.name / path.name).write_bytes(data)
            mallsing, yrr = folder.image("mallsing"), folder.image("yrr")
            mallsing.unlink()
            yrr.unlink()
            assert problems(folder) == [], number
            assert len(folder.calls()) <= 1, number
            assert folder.files() == images, number
            assert are_all_right(folder), number


@pytest.mark.usefixtures("expensive")
@pytest.mark.parametrize("where", ["store", "store/blobs", "store/index", "cache", "tmp"])
def test_a_file_in_place_of_a_folder_of_ours_is_told_and_nothing_is_lost(
    copies: Callable[[], ProjectFolder], where: str
) -> None:
    folder = copies()
    folder.backend = ScriptedBackend(Script(in_flight=1))
    images = folder.files()
    place, aside = folder.root / ".imagegen" / where, folder.root / "aside"
    if place.exists():
        place.rename(aside)
    place.write_text("no folder")
    folder.job(generate={"width": 32, "height": 32, "steps": 12})
    reported = problems(folder)
    if where != "cache":  # a memory that can be done without
        assert all(f"/{where.split('/')[0]}" in one and "then try again" in one for one in reported), reported
        assert reported
    place.unlink(missing_ok=True) if place.is_file() else None
    if aside.exists():
        aside.rename(place)
    assert problems(folder) == []
    assert all(folder.is_kept(data) for data in images.values())
    assert len(folder.calls()) == 2 + (where != "cache")  # one was drawn, and could not be kept


# --- an output's place


def test_a_folder_in_an_outputs_place_is_told_and_stays(copies: Callable[[], ProjectFolder]) -> None:
    folder = copies()
    place = folder.image("mallsing")
    image = place.read_bytes()
    place.unlink()
    (place / "notes").mkdir(parents=True)
    (place / "notes/mine.txt").write_text("mine")
    (reported,) = problems(folder)
    assert "assets/portraits/mallsing.png" in reported
    assert "folder" in reported
    assert (place / "notes/mine.txt").read_text() == "mine"
    assert len(folder.calls()) == 0
    shutil.rmtree(place)
    assert are_all_right(folder)
    assert place.read_bytes() == image
    assert len(folder.calls()) == 0


def test_a_file_in_place_of_the_output_folder_is_told_and_stays(copies: Callable[[], ProjectFolder]) -> None:
    folder = copies()
    images, aside = folder.root / "assets/portraits", folder.root / "aside"
    images.rename(aside)
    images.write_text("mine")
    reported = problems(folder)
    assert reported
    assert all("assets/portraits" in one for one in reported)
    assert images.read_text() == "mine"
    assert len(folder.calls()) == 0
    images.unlink()
    aside.rename(images)
    assert are_all_right(folder)


# --- a clock that went back: all that is on disk is of the year 2099


def from_the_future(folder: ProjectFolder) -> None:
    for path in [folder.root / LOCK, *(folder.root / ".imagegen/store/index").rglob("*.jsonl")]:
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        texts = [json.dumps(line | {"time": line["time"].replace("2026", "2099", 1)}) for line in lines]
        assert all("2099" in text for text in texts)
        path.write_text("".join(text + "\n" for text in texts))
    for path in folder.root.rglob("*"):
        os.utime(path, (4_070_908_800, 4_070_908_800))


def test_what_was_made_in_the_future_is_fresh_and_what_changes_is_seen(copies: Callable[[], ProjectFolder]) -> None:
    folder = copies()
    from_the_future(folder)
    assert are_all_right(folder)
    assert len(folder.calls()) == 0
    folder.job(generate={"width": 32, "height": 32, "steps": 12})
    assert folder.build() == {"portraits:mallsing": "generated", "portraits:yrr": "generated"}
    assert are_all_right(folder)
    for path in folder.files():
        if "okka" not in path:
            (folder.root / path).unlink()
    assert set(folder.build().values()) == {"restored"}


def test_a_decision_counts_though_the_one_before_it_is_of_the_future(copies: Callable[[], ProjectFolder]) -> None:
    folder = copies()
    from_the_future(folder)
    before = folder.outputs()["portraits:yrr"].request.seed
    seed = folder.reroll("portraits:yrr")
    assert seed != before
    assert folder.outputs()["portraits:yrr"].request.seed == seed
    folder.build()
    assert folder.outputs()["portraits:yrr"].request.seed == seed
    folder.touch_up("mallsing", "blue")
    folder.accept("portraits:mallsing")
    assert folder.states()["portraits:mallsing"] == "fresh"
    data = folder.touch_up("okka", "green")
    folder.accept("portraits:okka")
    folder.image("okka").unlink()
    folder.build()
    assert folder.image("okka").read_bytes() == data
    verify(data)


def test_an_image_that_changed_under_a_clock_that_stands_still_is_seen(copies: Callable[[], ProjectFolder]) -> None:
    folder = copies()
    from_the_future(folder)
    folder.build()
    place = folder.image("mallsing")
    whole = place.read_bytes()
    place.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    os.utime(place, (4_070_908_800, 4_070_908_800))
    assert folder.states()["portraits:mallsing"] == "kept"
    place.write_bytes(whole)
    assert are_all_right(folder)
