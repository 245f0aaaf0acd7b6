"""Whole runs with a shared store in a folder: what one made, the other restores."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from imagegen.backends.base import GeneratedImage, Progress
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError
from imagegen.execute.events import Event, ProgressEvent
from imagegen.execute.forecast import forecast
from imagegen.execute.prune import find_unused, prune
from imagegen.execute.run import run
from imagegen.execute.shared_store import (
    SharedStoreClient,
    Timeouts,
    check_packages,
    describe_error,
    is_unreachable,
    push,
)
from imagegen.execute.worker import InterruptibleWorker
from imagegen.plan.freshness import Verdict
from imagegen.plan.output import Output
from imagegen.plan.request import Request
from imagegen.project import Project
from imagegen.report.doctor import Case, check_jobs
from imagegen.state.mutex import hold
from imagegen.state.shared_store import SharedEntry, SharedStore, open_shared
from imagegen.state.store import StoreEntry
from tests.project_folder import SMALL_JOB, ProjectFolder, picture
from tests.scripted import Script, ScriptedBackend
from tests.state.memory import memory

__all__ = []


URL = "s3://team"
LONG = Timeouts(answer_s=30, image_s=30, last_s=30)
SHORT = Timeouts(answer_s=0.5, image_s=0.5, last_s=0.5)
LATER = "later runs continue, or doit store:push does it now"
DATA = picture("red")


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


SHA256 = sha(DATA)


class Team:
    """A shared store in memory, and one member's run with it."""

    def __init__(self, folder: ProjectFolder, files: Any = None, **settings: Any) -> None:
        folder.settings = dataclasses.replace(folder.settings, **{"store": URL, **settings})
        self.files = memory() if files is None else files
        self.folder = folder
        self.reported: list[Event] = []
        self.stop = threading.Event()
        self.opened = 0

    def store(self) -> SharedStore:
        return SharedStore(self.files, "/team")

    def open(self, url: str) -> SharedStore:
        assert url == self.folder.settings.store
        self.opened += 1
        return self.store()

    def sharing(
        self,
        project: Project | None = None,
        patience: Timeouts | None = LONG,
        opened: Callable[[str], SharedStore] | None = None,
        *,
        is_brief: bool = False,
    ) -> SharedStoreClient:
        project = project or self.folder.project()
        opened = opened or self.open
        return SharedStoreClient(
            project, self.reported.append, self.stop, is_brief=is_brief, open_store=opened, timeouts=patience
        )

    @property
    def notes(self) -> list[str]:
        return [str(event.facts["text"]) for event in self.reported if isinstance(event, ProgressEvent)]

    def give(self, output: Output, data: bytes = DATA, **changes: Any) -> SharedEntry:
        """What somebody else made for the output."""
        sha256 = hashlib.sha256(data).hexdigest()
        entry = SharedEntry(output.fingerprint, sha256, None, "1", 2.0, "2026-01-02T03:04:05.678Z")
        entry = dataclasses.replace(entry, **changes)
        self.store().put(entry, data)
        return entry

    def made(self, sharing: SharedStoreClient, project: Project, output: Output, data: bytes = DATA) -> None:
        """As `generate` does with what a backend returned."""
        sha256 = project.store.put(data)
        sharing.add(StoreEntry(output.fingerprint, sha256, None, "1", 2.0, "2026-01-02T03:04:05.678Z"))


@pytest.fixture
def output(folder: ProjectFolder) -> Output:
    folder.job()
    return folder.outputs()["portraits:mallsing"]


class Stuck(MemoryFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """One that hangs: in reading, writing or all."""

    over = threading.Event()
    on = ("ls", "cat_file", "pipe_file")
    hung: list[str] = []  # noqa: RUF012 - each has its own

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
            self.hung.append(what)
            self.over.wait(60)


class Closed(MemoryFileSystem):  # type: ignore[misc]  # as above
    """One that can only be read."""

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **more: Any) -> Any:  # noqa: ARG002
        raise PermissionError("Access Denied")


@pytest.fixture
def stuck() -> Iterator[Callable[..., Any]]:
    over = threading.Event()
    yield lambda *on: memory(type("Stuck", (Stuck,), {"over": over, "on": on or Stuck.on, "hung": []}))
    over.set()


def test_what_somebody_made_is_found_and_kept_here(folder: ProjectFolder, output: Output) -> None:
    team = Team(folder)
    team.give(output, model_digest="d1")
    project = folder.project()
    source = team.sharing(project).find(output, None, "")
    assert source is not None
    assert (source.data, source.encoding, source.record.model_digest, source.record.seconds, source.is_shared) == (
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


def test_an_image_of_another_known_model_is_not_taken(folder: ProjectFolder, output: Output) -> None:
    team = Team(folder)
    team.give(output, model_digest="d1")
    assert team.sharing().find(output, "d2", "") is None
    team.give(output, picture("blue"), model_digest="d2")
    source = team.sharing().find(output, "d2", "")
    assert source is not None
    assert source.data == picture("blue")


def test_of_several_the_one_that_the_lock_file_tells_of_comes_first_then_the_newest(
    folder: ProjectFolder, output: Output
) -> None:
    team = Team(folder)
    times = [f"2026-01-0{day}T00:00:00.000Z" for day in (1, 2, 3)]
    for time_made, colour in zip(times, ("red", "green", "blue"), strict=True):
        team.give(output, picture(colour), time=time_made)
    for last, time_made in ((times[1], times[1]), ("", times[2])):
        source = team.sharing().find(output, None, last)
        assert source is not None
        assert source.record.time == time_made


@pytest.mark.parametrize("data", [b"", b"<html>", DATA[:-20], b"\x89PNG\r\n\x1a\n" + b"\0" * 100])
def test_what_is_no_whole_image_is_not_taken_and_told_once(folder: ProjectFolder, output: Output, data: bytes) -> None:
    team = Team(folder)
    entry = team.give(output, data)
    project = folder.project()
    sharing = team.sharing(project)
    assert sharing.find(output, None, "") is None
    sharing.close()
    assert project.store.entries(output.fingerprint) == []
    assert not project.store.has(entry.sha256)
    (note,) = team.notes
    assert note.startswith(f"the shared store {URL} has files that cannot be used, and were skipped: ")


def test_what_is_bad_is_passed_over_for_what_is_good(folder: ProjectFolder, output: Output) -> None:
    team = Team(folder)
    team.give(output)
    bad = team.give(output, picture("blue"), time="2026-02-02T03:04:05.678Z")
    team.files.pipe_file(f"/team/blobs/{bad.sha256[:2]}/{bad.sha256}", b"changed")
    source = team.sharing().find(output, None, "")
    assert source is not None
    assert source.data == DATA


def test_what_was_made_goes_up(folder: ProjectFolder, output: Output) -> None:
    team = Team(folder)
    project = folder.project()
    sharing = team.sharing(project)
    team.made(sharing, project, output)
    sharing.close()
    (entry,) = team.store().entries(output.fingerprint)
    assert team.store().fetch(entry.sha256) == DATA
    assert (project.upload_queue.all(), (project.state / "pending.txt").exists(), team.notes) == ([], False, [])


def test_what_only_reads_writes_nothing(folder: ProjectFolder, output: Output) -> None:
    team = Team(folder, store_writes=False)
    team.give(output)
    before = dict(team.files.store)
    project = folder.project()
    sharing = team.sharing(project)
    assert sharing.find(output, None, "") is not None
    team.made(sharing, project, output, picture("blue"))
    sharing.close()
    assert team.files.store == before
    assert not (project.state / "pending.txt").exists()
    assert len(project.store.entries(output.fingerprint)) == 2
    assert team.notes == []


def test_nothing_is_asked_for_what_is_not_shared(folder: ProjectFolder, output: Output) -> None:
    team = Team(folder)
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


def test_one_that_cannot_be_reached_is_told_once_and_asked_once(folder: ProjectFolder, output: Output) -> None:
    team = Team(folder)
    asked: list[str] = []

    def away(url: str) -> SharedStore:
        asked.append(url)
        raise ConnectionRefusedError(111, "Connection refused")

    project = folder.project()
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
        f"the shared store {URL} cannot be reached: Connection refused; this run continues without it; "
        "new images are kept here, and a later run uploads them"
    ]
    assert project.upload_queue.all() == [(output.fingerprint, SHA256)]


def test_what_could_not_go_up_goes_up_with_the_next_run(folder: ProjectFolder, output: Output) -> None:
    team = Team(folder)
    project = folder.project()

    def away(_: str) -> SharedStore:
        raise OSError("gone")

    sharing = team.sharing(project, opened=away)
    team.made(sharing, project, output)
    sharing.close()
    team.reported.clear()
    again = folder.project()
    assert again.has_uploads_due
    team.sharing(again).close()
    assert team.notes == [f"uploaded 1 image of earlier runs to the shared store {URL}"]
    assert len(team.store().entries(output.fingerprint)) == 1
    assert not folder.project().has_uploads_due


@pytest.mark.parametrize("on", ["ls", "cat_file"])
def test_one_that_hangs_while_it_is_read_is_left_alone(
    folder: ProjectFolder, output: Output, stuck: Any, on: str
) -> None:
    team = Team(folder, memory())
    team.give(output)
    files = stuck(on)
    files.store.update(team.files.store)
    files.pseudo_dirs.extend(team.files.pseudo_dirs)
    sharing = team.sharing(None, SHORT, lambda _: SharedStore(files, "/team"))
    for _ in range(3):
        assert sharing.find(output, None, "") is None
    assert files.hung == [on]
    (note,) = team.notes
    assert "cannot be reached: no answer within 0.5 s; this run continues without it" in note


def test_one_that_hangs_while_it_is_written_holds_up_neither_the_images_nor_the_end(
    folder: ProjectFolder, output: Output, stuck: Any
) -> None:
    team = Team(folder, stuck("pipe_file"))
    project = folder.project()
    sharing = team.sharing(project, Timeouts(answer_s=30, image_s=60, last_s=0.6))
    start = time.monotonic()
    for colour in ("red", "green", "blue"):
        team.made(sharing, project, output, picture(colour))
    sharing.close()
    assert time.monotonic() - start < 20
    assert team.notes == [
        f"3 images still have to be uploaded to the shared store {URL}; {LATER}",
    ]
    assert len(folder.project().upload_queue.all()) == 3


def test_one_that_falls_silent_at_the_end_is_told_in_one_line_with_what_is_left(
    folder: ProjectFolder, output: Output, stuck: Any
) -> None:
    team = Team(folder, stuck("pipe_file"))
    project = folder.project()
    sharing = team.sharing(project, Timeouts(answer_s=30, image_s=1, last_s=2))
    team.made(sharing, project, output)
    sharing.close()
    assert team.notes == [
        f"1 image still has to be uploaded to the shared store {URL}, which cannot be reached: no answer within 1 s; {LATER}"
    ]


def test_nothing_is_waited_for_once_the_user_stops(folder: ProjectFolder, output: Output, stuck: Any) -> None:
    team = Team(folder, stuck())
    project = folder.project()
    sharing = team.sharing(project, Timeouts(answer_s=30, image_s=30, last_s=30))
    team.made(sharing, project, output)
    threading.Timer(0.3, team.stop.set).start()
    start = time.monotonic()
    assert sharing.find(output, None, "") is None
    sharing.close()
    assert time.monotonic() - start < 5
    assert len(project.upload_queue.all()) == 1
    assert not [note for note in team.notes if "reached" in note]


def test_one_that_takes_nothing_is_still_read(folder: ProjectFolder, output: Output) -> None:
    team = Team(folder)
    team.give(output)
    open_to_all, team.files = team.files, memory(Closed)
    team.files.store.update(open_to_all.store)
    team.files.pseudo_dirs.extend(open_to_all.pseudo_dirs)
    project = folder.project()
    sharing = team.sharing(project)
    team.made(sharing, project, output)
    deadline = time.monotonic() + 10
    while not team.notes and time.monotonic() < deadline:
        time.sleep(0.02)
    (note,) = team.notes
    assert note == (
        f"the shared store {URL} cannot be written: Access Denied; new images are kept here, and a later run uploads them "
        "(set store_writes = false if you only read from it)"
    )
    assert sharing.find(output, None, "") is not None
    sharing.close()
    assert len(team.notes) == 1
    assert len(project.upload_queue.all()) == 1


def test_what_is_lost_before_it_went_up_is_told_as_that(folder: ProjectFolder, output: Output) -> None:
    team = Team(folder)
    project = folder.project()
    project.upload_queue.add([(output.fingerprint, SHA256)])
    team.sharing(project).close()
    assert team.notes == [f".imagegen/store has lost 1 image that still had to be uploaded to the shared store {URL}"]
    assert (team.opened, project.has_uploads_due) == (0, False)


def test_what_has_yet_to_go_up_is_not_pruned(folder: ProjectFolder, tmp_path: Path) -> None:
    address = f"file://{(tmp_path / 'team').as_posix()}"
    folder.settings = Settings(store=address, store_bytes=1)
    folder.job()
    folder.build()
    project = folder.project()
    assert len(project.upload_queue.all()) == len(list(project.store.blobs())) == 2
    prune(project, find_unused(project, project.plans(), candidates=False))
    assert len(list(project.store.blobs())) == 2
    (tmp_path / "team").mkdir()
    assert folder.build() == {}
    assert f"uploaded 2 images of earlier runs to the shared store {address}" in folder.report.splitlines()
    assert len([path for path in (tmp_path / "team/blobs").rglob("*") if path.is_file()]) == 2
    project = folder.project()
    prune(project, find_unused(project, project.plans(), candidates=False))
    assert list(project.store.blobs()) == []


def test_a_run_with_nothing_to_make_tries_briefly_tells_it_in_one_line_and_not_again(
    folder: ProjectFolder, stuck: Any
) -> None:
    team = Team(folder, stuck("pipe_file"))
    project = folder.project()
    project.store.put(DATA)
    project.upload_queue.add([("", SHA256)])
    team.sharing(project, SHORT, is_brief=True).close()
    assert team.notes in (
        [f"1 image still has to be uploaded to the shared store {URL}; {LATER}"],
        [
            f"1 image still has to be uploaded to the shared store {URL}, which cannot be reached: no answer within 0.5 s; {LATER}"
        ],
    )
    assert not project.has_uploads_due
    team.reported.clear()
    again = folder.project()
    team.sharing(again, is_brief=True).close()
    assert (team.opened, team.notes) == (1, [])
    assert again.upload_queue.all() == [("", SHA256)]


def test_nobody_is_kept_from_building_while_the_shared_store_is_waited_for(
    folder: ProjectFolder, tmp_path: Path
) -> None:
    folder.settings = Settings(store=f"file://{(tmp_path / 'team').as_posix()}")
    folder.job()
    folder.build()
    seen: list[str] = []

    def on_event(event: Event) -> None:
        if isinstance(event, ProgressEvent) and event.name == "note":
            with hold(project.state, 20):  # raises where it is held
                seen.append(str(event.facts["text"]))

    project = folder.project()
    run(project, [], on_event)
    (note,) = seen
    assert "still have to be uploaded" in note
    seen.clear()
    (tmp_path / "team").mkdir()
    folder.build(forced=True)
    for blob in (tmp_path / "team/blobs").glob("*/*"):
        blob.write_bytes(b"changed")
    other = folder.clone(tmp_path / "other")
    project = other.project()
    run(project, list(other.outputs(project).values()), on_event)  # the same after images
    (note,) = seen
    assert "were skipped" in note


def test_a_list_of_what_waits_that_cannot_be_written_fails_no_image(folder: ProjectFolder, output: Output) -> None:
    team = Team(folder)
    project = folder.project()
    (project.state / "pending.txt").mkdir(parents=True)
    sharing = team.sharing(project)
    for colour in ("red", "blue"):
        team.made(sharing, project, output, picture(colour))
    sharing.close()
    assert len(project.store.entries(output.fingerprint)) == len(team.store().entries(output.fingerprint)) == 2
    (note,) = team.notes
    assert note.startswith("cannot write: Is a directory: ")
    assert note.endswith(
        f"images that this run does not upload to the shared store {URL} have to be uploaded by doit store:push"
    )


def test_what_was_made_for_one_store_does_not_go_to_another(folder: ProjectFolder, tmp_path: Path) -> None:
    ours, theirs = (f"file://{(tmp_path / name).as_posix()}" for name in ("ours", "theirs"))
    folder.settings = Settings(store=theirs)
    folder.job()
    folder.build()
    (tmp_path / "ours").mkdir()
    folder.settings = Settings(store=ours)
    assert (folder.build(), folder.report) == ({}, "")
    assert list((tmp_path / "ours").iterdir()) == []
    (tmp_path / "theirs").mkdir()
    folder.settings = Settings(store=theirs)
    uploaded = f"uploaded 2 images of earlier runs to the shared store {theirs}"
    assert (folder.build(), folder.report) == ({}, uploaded)


def test_a_package_that_is_missing_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    check_packages(Settings(store="file:///x"))
    monkeypatch.setitem(sys.modules, "s3fs", None)  # as Python has it for what cannot be imported
    with pytest.raises(ImagegenError) as caught:
        check_packages(Settings(store="s3://team/x"))
    (problem,) = caught.value.problems
    assert problem.what == "store: s3://team/x needs the package s3fs, which is not installed"
    assert problem.hint.endswith("-m pip install s3fs; or build without the shared store for now: doit store=none")
    with pytest.raises(ModuleNotFoundError, match=r"it needs the package s3fs, .* -m pip install s3fs"):
        open_shared("s3://team/x")


def test_a_folder_that_is_gone_is_away_and_one_that_is_full_or_closed_is_not() -> None:
    for number in (errno.ENOENT, errno.ENOTCONN, errno.ESTALE, errno.EIO, errno.ECONNREFUSED, errno.ETIMEDOUT):
        assert is_unreachable(OSError(number, "text", "/mnt/team/tmp"))
    assert is_unreachable(ValueError("a library's own"))
    for number in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT):
        assert not is_unreachable(OSError(number, "text", "/mnt/team/tmp"))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(2, "No such file or directory", "/mnt/team"), "No such file or directory: /mnt/team"),
        (TimeoutError("no answer within 10 s"), "no answer within 10 s"),
        (ValueError("cannot open sftp://mia:hush@nas/x\nmore"), "cannot open sftp://…@nas/x"),
        (ValueError("https://a b:hush@h"), "ValueError: https://…@h"),
        (
            ValueError('cannot connect to "http://nas:9/team?list-type=2&prefix=x"'),
            'cannot connect to "http://nas:9/team"',
        ),
        (KeyError("Body"), "KeyError: 'Body'"),
        (ValueError(), "ValueError"),
        (PermissionError("Access Denied"), "Access Denied"),
    ],
)
def test_what_went_wrong_is_one_line_without_a_password(error: Exception, words: str) -> None:
    assert describe_error(error) == words


def standing(folder: ProjectFolder) -> list[tuple[Output, Verdict]]:
    project = folder.project()
    return [(output, project.verdict(output)) for output in folder.outputs(project).values()]


def foreseen(folder: ProjectFolder) -> dict[str, str]:
    """What `doit why` says, which asks no store."""
    return {one.output.task: one.act for one in forecast(folder.project(), standing(folder), ()).images}


def test_an_accepted_file_goes_up_and_comes_to_the_others(folder: ProjectFolder, tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    settings = Settings(store=f"file://{(tmp_path / 'team').as_posix()}")
    folder.settings = settings
    folder.job()
    folder.build()
    data = folder.touch_up("yrr")
    folder.accept("portraits:yrr")
    other = folder.clone(tmp_path / "other")
    assert foreseen(other) == {"portraits:mallsing": "generate", "portraits:yrr": "restore"}
    case = Case(other.project(), other.project().plans(), (), standing(other))
    assert [row.ok for row in check_jobs(case) if row.what == "portraits:yrr"] == [True]
    assert other.build() == {"portraits:mallsing": "restored", "portraits:yrr": "failed"}
    assert "and not in the shared store either" in other.problems["portraits:yrr"].what
    assert "doit store:push where it was accepted; or bring the file back" in other.problems["portraits:yrr"].hint
    other.settings = Settings(store=f"file://{(tmp_path / 'away' / 'team').as_posix()}")
    assert other.build() == {"portraits:yrr": "failed"}
    assert "and the shared store cannot be reached" in other.problems["portraits:yrr"].what
    assert other.problems["portraits:yrr"].hint.startswith("doit again once it can be; or bring the file back")
    other.settings = settings
    folder.build()  # with nothing to make: what was accepted goes up
    assert other.build() == {"portraits:yrr": "restored"}
    assert other.image("yrr").read_bytes() == data
    assert sorted(other.lock().splitlines()) == sorted(folder.lock().splitlines())
    assert len(other.calls()) == 0
    other.touch_up("yrr", "green")  # it is protected as what was accepted here
    assert other.states()["portraits:yrr"] == "kept"


def test_all_that_was_made_before_there_was_a_store_goes_up_when_it_is_pushed(
    folder: ProjectFolder, tmp_path: Path
) -> None:
    folder.job()
    folder.build()
    store = folder.project().store
    for name, backend in (("portraits:okka", "placeholder"), ("image:raven", "scripted")):  # which are not shared
        store.add(
            StoreEntry("f" * 64, store.put(picture()), None, "1", 2.0, "", name=name, request={"backend": backend})
        )
    accepted = folder.touch_up("yrr", "blue")
    folder.accept("portraits:yrr")
    address = f"file://{(tmp_path / 'team').as_posix()}"
    folder.settings = Settings(store=address)

    def pushed() -> tuple[int, int, list[str]]:
        project = folder.project()
        reported: list[Event] = []
        attended = InterruptibleWorker(reported.append)
        count, sharing = push(project, project.plans(), attended)
        attended.run(sharing.close)
        return (
            count,
            sharing.unsent,
            [str(event.facts["text"]) for event in reported if isinstance(event, ProgressEvent)],
        )

    assert pushed()[:2] == (3, 3)  # it is not there yet
    (tmp_path / "team").mkdir()
    assert pushed() == (3, 0, [f"uploaded 3 images of earlier runs to the shared store {address}"])
    there = {path: path.stat().st_mtime_ns for path in (tmp_path / "team").rglob("*") if path.is_file()}
    assert len([path for path in there if path.parent.parent.name == "index"]) == 2
    sha256 = hashlib.sha256(accepted).hexdigest()
    assert (tmp_path / f"team/blobs/{sha256[:2]}/{sha256}").read_bytes() == accepted
    assert pushed()[:2] == (3, 0)  # again: nothing is written twice
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "team").rglob("*") if path.is_file()} == there
    for blob in (path for path in there if path.parent.parent.name == "blobs"):
        blob.unlink()  # somebody made room
    assert pushed() == (3, 0, [f"uploaded 3 images of earlier runs to the shared store {address}"])
    assert {path for path in (tmp_path / "team").rglob("*") if path.is_file()} == there.keys()


def test_two_who_generate_the_same_at_once_both_succeed(folder: ProjectFolder, tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    barrier = threading.Barrier(2)

    class Together(ScriptedBackend):
        """Draws when both do."""

        def generate(self, request: Request, progress: Progress) -> GeneratedImage:
            barrier.wait(30)
            return super().generate(request, progress)

    third = ProjectFolder(tmp_path / "third", SMALL_JOB)
    folders = [folder, ProjectFolder(tmp_path / "other", SMALL_JOB), third]
    for one in folders:
        one.settings = Settings(store=f"file://{(tmp_path / 'team').as_posix()}")
        one.job(items=[{"name": "Mallsing", "prompt": "a tall figure"}])
    states: list[dict[str, str]] = []
    threads = []
    for one in folders[:2]:
        one.backend = Together(Script())
        threads.append(threading.Thread(target=lambda one=one: states.append(one.build())))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states == [{"portraits:mallsing": "generated"}] * 2
    assert list((tmp_path / "team/tmp").iterdir()) == []
    assert third.build() == {"portraits:mallsing": "restored"}


def test_a_run_restores_what_another_made(folder: ProjectFolder, tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    settings = Settings(store=f"file://{(tmp_path / 'team').as_posix()}")
    folder.settings = settings
    folder.job()
    assert set(folder.build().values()) == {"generated"}
    other = ProjectFolder(tmp_path / "other", SMALL_JOB)
    other.settings = settings
    other.job()
    assert set(other.build().values()) == {"restored"}
    assert len(other.calls()) == 0
    assert other.lock() == folder.lock()
    assert other.files() == folder.files()


def test_what_is_forced_is_generated_and_goes_up_too(folder: ProjectFolder, tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    folder.settings = Settings(store=f"file://{(tmp_path / 'team').as_posix()}")
    folder.job()
    folder.build()
    assert set(folder.build(forced=True).values()) == {"generated"}
    assert len(list((tmp_path / "team/index").rglob("*.json"))) == 4
    assert len(list((tmp_path / "team/blobs").rglob("*.*"))) == 0  # the same pixels are one file


def test_an_image_that_the_shared_store_brings_is_encoded_and_held_to_its_model_here(
    folder: ProjectFolder, tmp_path: Path
) -> None:
    (tmp_path / "team").mkdir()
    settings = Settings(store=f"file://{(tmp_path / 'team').as_posix()}")
    folder.settings = settings
    folder.backend = type(folder.backend)(Script(digest="d1"))
    folder.job()
    folder.build()
    other = ProjectFolder(tmp_path / "other", SMALL_JOB)
    other.settings = settings
    other.job(output={"format": "webp"})
    assert set(other.build().values()) == {"restored"}
    assert [path.suffix for path in (other.root / "assets/portraits").iterdir()] == [".webp"] * 2
    third = ProjectFolder(tmp_path / "third", SMALL_JOB)
    third.settings = settings
    third.backend = type(third.backend)(Script(digest="d2"))
    third.job()
    assert set(third.build().values()) == {"generated"}
