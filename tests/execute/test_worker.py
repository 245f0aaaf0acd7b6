"""What signals do to work that is attended."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator

import pytest

from imagegen.execute.events import Arrived, Event, ProgressEvent, Started
from imagegen.execute.worker import InterruptibleWorker, Stopping
from tests.report.events import image

__all__ = []


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture
def received() -> Iterator[list[int]]:
    """What comes through to whom signals went before."""
    found: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda number, _: found.append(number)) for number in numbers}
    yield found
    for number, handler in before.items():
        signal.signal(number, handler)


class Pressed:
    """Attended work, in which each note is a signal that comes while it is told."""

    def __init__(self) -> None:
        self.attended = InterruptibleWorker(self._log)

    def _log(self, event: Event) -> None:
        if isinstance(event, ProgressEvent) and event.name == "signal":
            signal.raise_signal(event.facts["number"])

    def press(self, number: int) -> None:
        self.attended.emit(ProgressEvent(None, "signal", {"number": number}))

    def do(self, work: Callable[[], None]) -> None:
        failed: list[BaseException] = []

        def caught() -> None:
            try:
                work()
            except BaseException as error:
                failed.append(error)

        self.attended.run(caught)
        assert not failed


def test_ctrl_c_stops_then_cancels_and_then_is_what_it_was(received: list[int]) -> None:
    pressed = Pressed()

    def work() -> None:
        pressed.press(signal.SIGINT)
        assert pressed.attended.stop.wait(30)
        assert not pressed.attended.cancel.is_set()
        pressed.press(signal.SIGINT)
        assert pressed.attended.cancel.wait(30)
        assert not received
        pressed.press(signal.SIGINT)

    pressed.do(work)
    pressed.attended.raise_signal()
    assert received == [signal.SIGINT]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_request_to_end_cancels_at_once_and_is_passed_on_when_all_is_in_order(received: list[int], name: str) -> None:
    number, pressed = getattr(signal, name), Pressed()

    def work() -> None:
        pressed.press(number)
        assert pressed.attended.cancel.wait(30)

    pressed.do(work)
    assert pressed.attended.stop.is_set()
    assert not received
    pressed.attended.raise_signal()
    assert received == [number]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_request_to_end_that_comes_twice_does_not_cut_short_what_the_first_began(
    received: list[int], name: str
) -> None:
    number, pressed = getattr(signal, name), Pressed()

    def work() -> None:
        pressed.press(number)
        assert pressed.attended.cancel.wait(30)
        pressed.press(number)

    pressed.do(work)
    assert not received
    pressed.attended.raise_signal()
    assert received == [number]


def test_only_images_that_are_being_generated_are_waited_for(received: list[int]) -> None:
    notes: list[Event] = []

    def log(event: Event) -> None:
        if isinstance(event, Arrived):
            signal.raise_signal(signal.SIGINT)
        notes.append(event)

    attended = InterruptibleWorker(log)

    def work() -> None:
        for event in (Started(image("a")), Started(image("b")), Arrived(image("a"))):
            attended.emit(event)
        assert attended.stop.wait(30)

    attended.run(work)
    text = next(event.facts["text"] for event in notes if isinstance(event, ProgressEvent))
    assert text == "stopping when 1 image is done; Ctrl-C again cancels it"
    assert not received


def test_a_signal_that_was_ignored_stays_ignored(received: list[int]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pressed = Pressed()
    pressed.do(lambda: pressed.press(signal.SIGINT))
    assert not pressed.attended.stop.is_set()
    assert not received


def test_what_goes_wrong_with_the_work_is_raised_where_it_is_waited_for() -> None:
    def work() -> None:
        raise SystemExit("in the worker")

    with pytest.raises(SystemExit, match="in the worker"):
        InterruptibleWorker(lambda _: None).run(work)


def test_where_nobody_can_be_told_any_more_the_work_is_over_before_that_is_raised() -> None:
    def on_event(_: Event) -> None:
        raise BrokenPipeError

    attended = InterruptibleWorker(on_event)
    ended: list[bool] = []

    def work() -> None:
        attended.emit(ProgressEvent(None, "note", {"text": ""}))
        ended.append(attended.stop.wait(60))

    with pytest.raises(BrokenPipeError):
        attended.run(work)
    assert ended == [True]


def test_what_a_handler_of_the_programs_own_raises_ends_the_work_first() -> None:
    def leave(_number: int, _frame: object) -> None:
        raise SystemExit(7)

    worker = InterruptibleWorker(lambda _: None, Stopping(leaves_handlers=True))
    ended: list[bool] = []

    def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        ended.append(worker.stop.wait(60) and not worker.cancel.is_set())

    before = signal.signal(signal.SIGTERM, leave)
    try:
        with pytest.raises(SystemExit):
            worker.run(work)
        assert signal.getsignal(signal.SIGTERM) is leave
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended == [True]
