from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from imagegen.state.group_sync import GroupSync
from tests.state.waiting import wait_until


class CountedLock:
    """A lock that counts how often it was let go of."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: Any) -> None:
        self.count += 1
        self._lock.release()


def run_in_two_groups(group: GroupSync, sync: Callable[[], None], followers: int) -> list[BaseException | None]:
    """Run a sync that lasts until so many others are asked for; return how all of them ended, the first one first."""
    counted = CountedLock()
    group._mutex = counted  # type: ignore[assignment]
    begun, go_on = threading.Event(), threading.Event()

    def first() -> None:
        begun.set()
        assert go_on.wait(60)
        sync()

    with ThreadPoolExecutor(followers + 1) as pool:
        futures = [pool.submit(group.run, first)]
        assert begun.wait(60)
        asked = counted.count
        futures += [pool.submit(group.run, sync) for _ in range(followers)]
        wait_until(lambda: counted.count == asked + followers)
        go_on.set()
        return [future.exception(60) for future in futures]


def test_all_who_ask_while_a_sync_is_under_way_share_the_next_one() -> None:
    calls: list[str] = []
    assert run_in_two_groups(GroupSync(), lambda: calls.append("sync"), 8) == [None] * 9
    assert calls == ["sync", "sync"]


def test_a_sync_that_fails_fails_for_all_who_wait_for_it_and_for_nobody_else() -> None:
    calls: list[str] = []

    def sync() -> None:
        calls.append("sync")
        if len(calls) == 2:
            raise OSError(28, "No space left on device")

    group = GroupSync()
    first, *others = run_in_two_groups(group, sync, 3)
    assert first is None
    assert [str(error) for error in others] == ["[Errno 28] No space left on device"] * 3
    group.run(sync)
    assert len(calls) == 3


def test_who_leads_and_is_interrupted_leaves_nobody_waiting() -> None:
    calls: list[str] = []

    def sync() -> None:
        calls.append("sync")
        if len(calls) == 2:
            raise KeyboardInterrupt

    group = GroupSync()
    first, *others = run_in_two_groups(group, sync, 3)
    assert first is None
    assert sorted(type(error).__name__ for error in others) == [
        "InterruptedError",
        "InterruptedError",
        "KeyboardInterrupt",
    ]
    with pytest.raises(ZeroDivisionError):
        group.run(lambda: 1 // 0)  # type: ignore[arg-type]
    group.run(sync)
