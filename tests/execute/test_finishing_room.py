from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from imagegen.backends.base import GeneratedImage, Progress, ServerSlot
from imagegen.execute.finishing_room import AT_A_TIME, FinishingRoom, Place
from imagegen.plan.request import Request
from tests.project_folder import SMALL_JOB, ProjectFolder
from tests.scripted import Script, ScriptedBackend
from tests.state.waiting import wait_until

MANY = 12


class Leaking(ScriptedBackend):
    """Its slots cannot be released."""

    def pick_server(self, waiting: Mapping[Any, int]) -> tuple[Hashable, ServerSlot]:
        def fail() -> None:
            raise RuntimeError("its server is gone")

        return next(iter(waiting)), ServerSlot(self.generate, fail)


def test_images_wait_until_there_is_room_and_a_large_one_is_alone() -> None:
    room = FinishingRoom(most_bytes=10)
    held: list[int] = []
    most: list[int] = []
    go_on = threading.Event()

    def finish(size: int) -> None:
        with room.hold(size):
            held.append(size)
            most.append(sum(held))
            assert go_on.wait(60)
            held.remove(size)

    with ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(finish, 4)]
        wait_until(lambda: held == [4])
        futures += [pool.submit(finish, size) for size in (4, 25, 4, 4, 25)]
        wait_until(lambda: held == [4, 4])
        go_on.set()
        for one in futures:
            one.result(60)
    assert set(most) <= {4, 8, 25}


def test_a_large_image_is_next_though_smaller_ones_that_came_later_would_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    room = FinishingRoom(most_bytes=10)
    held: list[str] = []
    waiting: list[object] = []
    go_on = threading.Event()
    real = threading.Condition.wait_for

    def wait_for(condition: threading.Condition, fits: Callable[[], bool], timeout: float | None = None) -> bool:
        if not fits():
            waiting.append(fits)
        return real(condition, fits, timeout)

    def finish(name: str, size: int) -> None:
        with room.hold(size):
            held.append(name)
            assert go_on.wait(60)

    monkeypatch.setattr(threading.Condition, "wait_for", wait_for)
    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(finish, "first", 4)]
        wait_until(lambda: held == ["first"])
        futures.append(pool.submit(finish, "large", 25))
        wait_until(lambda: len(waiting) == 1)
        futures.append(pool.submit(finish, "later", 4))
        wait_until(lambda: len(waiting) == 2 or len(held) == 2)
        go_on.set()
        for one in futures:
            one.result(60)
    assert held == ["first", "large", "later"]


def test_no_more_than_so_many_are_finished_at_a_time_however_small() -> None:
    room = FinishingRoom(most=2)
    held: list[int] = []
    most: list[int] = []
    go_on = threading.Event()

    def finish(number: int) -> None:
        with room.hold(0):
            held.append(number)
            most.append(len(held))
            assert go_on.wait(60)
            held.remove(number)

    with ThreadPoolExecutor(5) as pool:
        futures = [pool.submit(finish, number) for number in range(5)]
        wait_until(lambda: len(held) == 2)
        go_on.set()
        for one in futures:
            one.result(60)
    assert max(most) == 2


def test_a_place_is_given_up_once() -> None:
    calls: list[object] = []
    place = Place(ServerSlot(ScriptedBackend().generate, lambda: calls.append("slot")), calls.append)
    place.leave()
    place.leave()
    assert calls == ["slot", None]


def test_a_slot_that_cannot_be_released_costs_no_image_that_arrived_and_ends_the_run(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path, SMALL_JOB)
    folder.backend = Leaking(Script(in_flight=1))
    folder.job()
    assert folder.build() == {"portraits:mallsing": "generated", "portraits:yrr": "failed"}
    assert "its server is gone" in folder.problems["portraits:yrr"].what
    assert folder.build() == {"portraits:yrr": "generated"}
    assert "its server is gone" in folder.report, "though no image is left to fail with it"


def test_a_slot_that_cannot_be_released_fails_the_rest_though_nothing_arrived(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path, SMALL_JOB)
    folder.backend = Leaking(Script(in_flight=1, acts={"Mallsing": [{"error": "no paint"}]}))
    folder.job()
    assert set(folder.build().values()) == {"failed"}
    assert "no paint" in folder.problems["portraits:mallsing"].what
    assert "its server is gone" in folder.problems["portraits:yrr"].what


def test_the_backends_of_a_run_share_one_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(ScriptedBackend):
        name = "other"

    folder = ProjectFolder(tmp_path, SMALL_JOB)
    folder.backends["other"] = lambda: Other(Script())
    folder.job()
    folder.job("others", backend="other")
    rooms: list[FinishingRoom] = []
    real = FinishingRoom.__init__

    def create(room: FinishingRoom, *arguments: Any) -> None:
        rooms.append(room)
        real(room, *arguments)

    monkeypatch.setattr(FinishingRoom, "__init__", create)
    assert list(folder.build().values()) == ["generated"] * 4
    assert len(rooms) == 1


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the name of an open file")
def test_images_at_a_time_wait_for_the_disk_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ProjectFolder(tmp_path, SMALL_JOB)
    folder.backend = ScriptedBackend(Script(in_flight=1))
    folder.job(items=[{"name": f"item {number}", "prompt": f"figure {number}"} for number in range(MANY)])
    lock = Path("jobs/portraits.lock")
    real, syncs = os.fsync, Counter[str]()

    def fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(tmp_path)
        kind = "lock" if path == lock else next((one for one in ("tmp", "index", "assets") if one in path.parts), "")
        syncs["folder" if kind == "index" and (tmp_path / path).is_dir() else kind] += 1
        if kind == "lock":  # a slow disk: meanwhile all others get there
            wait_until(lambda: (tmp_path / lock).read_bytes().count(b"\n") == MANY)
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        assert set(folder.build().values()) == {"generated"}
    assert syncs["tmp"] - 1 <= 2 * MANY, "one for the store, one for the output, and the compacted lock file"
    assert syncs["index"] == MANY
    assert syncs["lock"] < MANY, "lines share syncs"


def test_the_next_image_is_begun_while_earlier_ones_wait_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []

    class Listening(ScriptedBackend):
        def generate(self, request: Request, progress: Progress) -> GeneratedImage:
            begun.append(request.name)
            return super().generate(request, progress)

    folder = ProjectFolder(tmp_path, SMALL_JOB)
    folder.backend = Listening(Script(in_flight=1))
    folder.job(items=[{"name": f"item {number}", "prompt": f"figure {number}"} for number in range(AT_A_TIME + 9)])
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if threading.current_thread() is not threading.main_thread():
            wait_until(lambda: len(begun) >= AT_A_TIME)
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        assert set(folder.build().values()) == {"generated"}
