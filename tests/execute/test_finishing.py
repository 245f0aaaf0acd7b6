from __future__ import annotations

import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imagegen.backends.base import GeneratedImage, Progress, ServerSlot
from imagegen.execute.finishing import AT_A_TIME, FinishingRoom, Place
from imagegen.plan.request import Request
from tests.project_folder import SMALL_JOB, ProjectFolder
from tests.scripted import Script, ScriptedBackend
from tests.state.waiting import wait_until

MANY = 12


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


def test_a_place_is_given_up_once() -> None:
    calls: list[str] = []
    place = Place(ServerSlot(lambda *_: None, lambda: calls.append("slot")), lambda: calls.append("left"))  # type: ignore[arg-type]
    place.leave()
    place.leave()
    assert calls == ["slot", "left"]


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
