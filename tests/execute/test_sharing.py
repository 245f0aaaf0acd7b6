from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from imagegen.backends.scripted import Script
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError
from imagegen.execute.outcome import Event, Happened
from imagegen.execute.sharing import Patience, Sharing, check_packages, words_of
from imagegen.plan.output import Output
from imagegen.project import Project
from imagegen.state.shared import SharedEntry, SharedStore
from imagegen.state.store import StoreEntry
from tests.execute.workshop import Workshop, picture
from tests.state.memory import memory

URL = "s3://team"
SHORT = Patience(answer_s=0.5, image_s=0.5, last_s=0.5)
DATA = picture("red")
SHA256 = hashlib.sha256(DATA).hexdigest()


class Team:
    """A shared store in memory, and one member's run with it."""

    def __init__(self, workshop: Workshop, files: Any = None, **settings: Any) -> None:
        workshop.settings = dataclasses.replace(workshop.settings, **{"store": URL, **settings})
        self.files = memory() if files is None else files
        self.workshop = workshop
        self.told: list[Event] = []
        self.stop = threading.Event()
        self.opened = 0

    def store(self) -> SharedStore:
        return SharedStore(self.files, "/team")

    def open(self, url: str) -> SharedStore:
        assert url == self.workshop.settings.store
        self.opened += 1
        return self.store()

    def sharing(
        self,
        project: Project | None = None,
        patience: Patience = SHORT,
        opened: Callable[[str], SharedStore] | None = None,
    ) -> Sharing:
        project = project or self.workshop.project()
        return Sharing(project, self.told.append, self.stop, opened=opened or self.open, patience=patience)

    @property
    def notes(self) -> list[str]:
        return [str(event.facts["text"]) for event in self.told if isinstance(event, Happened)]

    def give(self, output: Output, data: bytes = DATA, **changes: Any) -> SharedEntry:
        """What somebody else made for the output."""
        sha256 = hashlib.sha256(data).hexdigest()
        entry = SharedEntry(output.fingerprint, sha256, None, "1", 2.0, "2026-01-02T03:04:05.678Z")
        entry = dataclasses.replace(entry, **changes)
        self.store().put(entry, data)
        return entry

    def made(self, sharing: Sharing, project: Project, output: Output, data: bytes = DATA) -> None:
        """As `generate` does with what a backend returned."""
        sha256 = project.store.put(data)
        sharing.add(StoreEntry(output.fingerprint, sha256, None, "1", 2.0, "2026-01-02T03:04:05.678Z"))


@pytest.fixture
def output(workshop: Workshop) -> Output:
    workshop.job()
    return workshop.outputs()["portraits:mallsing"]


class Stuck(MemoryFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """One that hangs: in reading, writing or all."""

    over = threading.Event()
    on = ("ls", "cat_file", "pipe_file")

    def ls(self, path: str, detail: bool = True, **more: Any) -> Any:
        self._hang("ls")
        return super().ls(path, detail, **more)

    def cat_file(self, path: str, **more: Any) -> Any:
        self._hang("cat_file")
        return super().cat_file(path, **more)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **more: Any) -> Any:
        self._hang("pipe_file")
        return super().pipe_file(path, value, mode, **more)

    def _hang(self, what: str) -> None:
        if what in self.on:
            self.over.wait(60)


class Closed(MemoryFileSystem):  # type: ignore[misc]  # as above
    """One that can only be read."""

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **more: Any) -> Any:  # noqa: ARG002
        raise PermissionError("Access Denied")


@pytest.fixture
def stuck() -> Iterator[Callable[..., Any]]:
    over = threading.Event()
    yield lambda *on: memory(type("Stuck", (Stuck,), {"over": over, "on": on or Stuck.on}))
    over.set()


def test_what_somebody_made_is_found_and_kept_here(workshop: Workshop, output: Output) -> None:
    team = Team(workshop)
    team.give(output, model_digest="d1")
    project = workshop.project()
    source = team.sharing(project).find(output, None, "")
    assert source is not None
    assert (source.data, source.encoding, source.model_digest, source.seconds, source.is_shared) == (
        DATA,
        None,
        "d1",
        2.0,
        True,
    )
    (entry,) = project.store.entries(output.fingerprint)
    assert (entry.sha256, entry.name, entry.request) == (SHA256, "portraits:mallsing", output.fields)
    assert project.store.get(SHA256) == DATA
    assert team.notes == []


def test_an_image_of_another_known_model_is_not_taken(workshop: Workshop, output: Output) -> None:
    team = Team(workshop)
    team.give(output, model_digest="d1")
    assert team.sharing().find(output, "d2", "") is None
    team.give(output, picture("blue"), model_digest="d2")
    source = team.sharing().find(output, "d2", "")
    assert source is not None
    assert source.data == picture("blue")


def test_of_several_the_one_that_the_lock_file_tells_of_comes_first_then_the_newest(
    workshop: Workshop, output: Output
) -> None:
    team = Team(workshop)
    times = [f"2026-01-0{day}T00:00:00.000Z" for day in (1, 2, 3)]
    for time_made, colour in zip(times, ("red", "green", "blue"), strict=True):
        team.give(output, picture(colour), time=time_made)
    for last, time_made in ((times[1], times[1]), ("", times[2])):
        source = team.sharing().find(output, None, last)
        assert source is not None
        assert source.time == time_made


@pytest.mark.parametrize("data", [b"", b"<html>", DATA[:-20], b"\x89PNG\r\n\x1a\n" + b"\0" * 100])
def test_what_is_no_whole_image_is_not_taken_and_told_once(workshop: Workshop, output: Output, data: bytes) -> None:
    team = Team(workshop)
    entry = team.give(output, data)
    project = workshop.project()
    sharing = team.sharing(project)
    assert sharing.find(output, None, "") is None
    sharing.close()
    assert project.store.entries(output.fingerprint) == []
    assert not project.store.has(entry.sha256)
    (note,) = team.notes
    assert note.startswith(f"the shared store {URL} has what cannot be used, and was passed over: ")


def test_what_is_bad_is_passed_over_for_what_is_good(workshop: Workshop, output: Output) -> None:
    team = Team(workshop)
    team.give(output)
    bad = team.give(output, picture("blue"), time="2026-02-02T03:04:05.678Z")
    team.files.pipe_file(f"/team/blobs/{bad.sha256[:2]}/{bad.sha256}", b"changed")
    source = team.sharing().find(output, None, "")
    assert source is not None
    assert source.data == DATA


def test_what_was_made_goes_up(workshop: Workshop, output: Output) -> None:
    team = Team(workshop)
    project = workshop.project()
    sharing = team.sharing(project)
    team.made(sharing, project, output)
    sharing.close()
    (entry,) = team.store().entries(output.fingerprint)
    assert team.store().fetch(entry.sha256) == DATA
    assert (project.pending.all(), project.pending.path.exists(), team.notes) == ([], False, [])


def test_what_only_reads_writes_nothing(workshop: Workshop, output: Output) -> None:
    team = Team(workshop, store_writes=False)
    team.give(output)
    before = dict(team.files.store)
    project = workshop.project()
    sharing = team.sharing(project)
    assert sharing.find(output, None, "") is not None
    team.made(sharing, project, output, picture("blue"))
    sharing.close()
    assert team.files.store == before
    assert not project.pending.path.exists()
    assert len(project.store.entries(output.fingerprint)) == 2
    assert team.notes == []


def test_nothing_is_asked_for_what_is_not_shared(workshop: Workshop, output: Output) -> None:
    team = Team(workshop)
    sharing = team.sharing()
    stand_in = dataclasses.replace(output, request=dataclasses.replace(output.request, backend="placeholder"))
    derived = dataclasses.replace(output, request=dataclasses.replace(output.request, backend="derive"))
    for other in (
        stand_in,
        derived,
        dataclasses.replace(output, job="image"),
        dataclasses.replace(output, fingerprint=""),
    ):
        assert sharing.find(other, None, "") is None
    sharing.close()
    assert team.opened == 0


def test_one_that_cannot_be_reached_is_told_once_and_asked_once(workshop: Workshop, output: Output) -> None:
    team = Team(workshop)
    asked: list[str] = []

    def away(url: str) -> SharedStore:
        asked.append(url)
        raise ConnectionRefusedError(111, "Connection refused")

    project = workshop.project()
    sharing = team.sharing(project, opened=away)
    threads = [threading.Thread(target=sharing.find, args=(output, None, "")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    team.made(sharing, project, output)
    sharing.close()
    assert asked == [URL]
    assert team.notes == [
        f"the shared store {URL} cannot be reached: Connection refused; this run goes on without it, "
        "and what it makes is kept here and goes up with the next one"
    ]
    assert project.pending.all() == [(output.fingerprint, SHA256)]


def test_what_could_not_go_up_goes_up_with_the_next_run(workshop: Workshop, output: Output) -> None:
    team = Team(workshop)
    project = workshop.project()

    def away(_: str) -> SharedStore:
        raise OSError("gone")

    sharing = team.sharing(project, opened=away)
    team.made(sharing, project, output)
    sharing.close()
    team.told.clear()
    again = workshop.project()
    assert again.has_pending
    team.sharing(again).close()
    assert team.notes == [f"1 image is in the shared store {URL} now, kept here by earlier runs until now"]
    assert len(team.store().entries(output.fingerprint)) == 1
    assert not workshop.project().has_pending


@pytest.mark.parametrize("on", ["ls", "cat_file"])
def test_one_that_hangs_while_it_is_read_is_left_alone(workshop: Workshop, output: Output, stuck: Any, on: str) -> None:
    team = Team(workshop, memory())
    team.give(output)
    files = stuck(on)
    files.store.update(team.files.store)
    files.pseudo_dirs.extend(team.files.pseudo_dirs)
    sharing = team.sharing(opened=lambda _: SharedStore(files, "/team"))
    start = time.monotonic()
    for _ in range(3):
        assert sharing.find(output, None, "") is None
    assert 0.5 <= time.monotonic() - start < 1.4  # once, not three times
    (note,) = team.notes
    assert "cannot be reached: no answer within 0.5 s; this run goes on without it" in note


def test_one_that_hangs_while_it_is_written_holds_up_neither_the_images_nor_the_end(
    workshop: Workshop, output: Output, stuck: Any
) -> None:
    team = Team(workshop, stuck("pipe_file"))
    project = workshop.project()
    sharing = team.sharing(project, Patience(answer_s=0.5, image_s=30, last_s=0.6))
    start = time.monotonic()
    for colour in ("red", "green", "blue"):
        team.made(sharing, project, output, picture(colour))
    assert time.monotonic() - start < 0.5
    sharing.close()
    assert time.monotonic() - start < 5
    assert [note for note in team.notes if "not in" in note] == [
        f"3 images are not in the shared store {URL} yet; the next run goes on with that"
    ]
    assert len(project.pending.all()) == 3


def test_nothing_is_waited_for_once_the_user_stops(workshop: Workshop, output: Output, stuck: Any) -> None:
    team = Team(workshop, stuck())
    project = workshop.project()
    sharing = team.sharing(project, Patience(answer_s=30, image_s=30, last_s=30))
    team.made(sharing, project, output)
    threading.Timer(0.3, team.stop.set).start()
    start = time.monotonic()
    assert sharing.find(output, None, "") is None
    sharing.close()
    assert time.monotonic() - start < 5
    assert len(project.pending.all()) == 1
    assert not [note for note in team.notes if "reached" in note]


def test_one_that_takes_nothing_is_still_read(workshop: Workshop, output: Output) -> None:
    team = Team(workshop)
    team.give(output)
    open_to_all, team.files = team.files, memory(Closed)
    team.files.store.update(open_to_all.store)
    team.files.pseudo_dirs.extend(open_to_all.pseudo_dirs)
    project = workshop.project()
    sharing = team.sharing(project)
    team.made(sharing, project, output)
    deadline = time.monotonic() + 10
    while not team.notes and time.monotonic() < deadline:
        time.sleep(0.02)
    (note,) = team.notes
    assert note == (
        f"the shared store {URL} takes nothing: Access Denied; what is made is kept here, and goes up with the next run "
        "(store_writes = false where it is only to be read)"
    )
    assert sharing.find(output, None, "") is not None
    sharing.close()
    assert len(team.notes) == 1
    assert len(project.pending.all()) == 1


def test_what_was_pruned_before_it_went_up_is_forgotten(workshop: Workshop, output: Output) -> None:
    team = Team(workshop)
    project = workshop.project()
    project.pending.add(output.fingerprint, SHA256)
    team.sharing(project).close()
    assert not project.has_pending


def test_a_run_restores_what_another_made(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    settings = Settings(store=f"file://{(tmp_path / 'team').as_posix()}")
    workshop.settings = settings
    workshop.job()
    assert set(workshop.build().values()) == {"generated"}
    other = Workshop(tmp_path / "other")
    other.settings = settings
    other.job()
    assert set(other.build().values()) == {"restored"}
    assert other.calls() == 0
    assert other.lock() == workshop.lock()
    assert other.files() == workshop.files()


def test_what_is_forced_is_generated_and_goes_up_too(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    workshop.settings = Settings(store=f"file://{(tmp_path / 'team').as_posix()}")
    workshop.job()
    workshop.build()
    assert set(workshop.build(forced=True).values()) == {"generated"}
    assert len(list((tmp_path / "team/index").rglob("*.json"))) == 4
    assert len(list((tmp_path / "team/blobs").rglob("*.*"))) == 0  # the same pixels are one file


def test_an_image_that_the_shared_store_brings_is_encoded_and_held_to_its_model_here(
    workshop: Workshop, tmp_path: Path
) -> None:
    (tmp_path / "team").mkdir()
    settings = Settings(store=f"file://{(tmp_path / 'team').as_posix()}")
    workshop.settings = settings
    workshop.backend = type(workshop.backend)(Script(digest="d1"))
    workshop.job()
    workshop.build()
    other = Workshop(tmp_path / "other")
    other.settings = settings
    other.job(output={"format": "webp"})
    assert set(other.build().values()) == {"restored"}
    assert [path.suffix for path in (other.root / "assets/portraits").iterdir()] == [".webp"] * 2
    third = Workshop(tmp_path / "third")
    third.settings = settings
    third.backend = type(third.backend)(Script(digest="d2"))
    third.job()
    assert set(third.build().values()) == {"generated"}


def test_a_package_that_is_missing_is_told_with_the_command() -> None:
    check_packages(Settings(store="file:///x"))
    if importlib.util.find_spec("s3fs") is None:
        with pytest.raises(ImagegenError) as caught:
            check_packages(Settings(store="s3://team/x"))
        (problem,) = caught.value.problems
        assert problem.what == "store: s3://team/x needs the package s3fs, which is not installed"
        assert problem.mend.endswith("-m pip install s3fs; or for now without the shared store: doit store=none")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(2, "No such file or directory", "/mnt/team"), "No such file or directory: /mnt/team"),
        (TimeoutError("no answer within 10 s"), "no answer within 10 s"),
        (ValueError("cannot open sftp://mia:hush@nas/x\nmore"), "ValueError: cannot open sftp://…@nas/x"),
        (ValueError(), "ValueError"),
        (PermissionError("Access Denied"), "Access Denied"),
    ],
)
def test_what_went_wrong_is_one_line_without_a_password(error: Exception, words: str) -> None:
    assert words_of(error) == words
