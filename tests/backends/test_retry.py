"""Calls that are made again when a server has room, and not if they may have been paid for. No second is waited for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imagegen.backends.base import Cancelled, MayBePaidError, OverdueError
from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.retry import call_with_retries


class FakeProgress:
    """Waits for nothing: a wait makes the clock go on, and is noted."""

    timeout_s = 600.0
    last_server = ""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s, self.restarts = 0.0, 0
        self.waits = [0.0]
        self.shown: list[str] = []
        self.error: Exception | None = None
        monkeypatch.setattr("imagegen.backends.retry.time", self)

    def monotonic(self) -> float:
        return self.now_s

    def begin_attempt(self, server: str = "") -> str:
        return server

    def file(self, sha256: str) -> Path:
        return Path(sha256)

    def event(self, name: str, **facts: Any) -> None:
        assert name == "waiting"
        self.shown.append(facts["text"])
        if not facts["text"]:
            self.waits.append(0.0)

    def restart_clock(self) -> None:
        self.restarts += 1

    def check(self) -> None:
        if self.error:
            raise self.error

    def wait(self, seconds: float) -> None:
        self.check()
        assert seconds <= 1.0, "the user would have to wait for it"
        self.now_s += seconds
        self.waits[-1] += seconds


@pytest.fixture
def progress(monkeypatch: pytest.MonkeyPatch) -> FakeProgress:
    return FakeProgress(monkeypatch)


def calls(*answers: Exception | str) -> tuple[Callable[[], str], list[Exception | str]]:
    left = [*answers]

    def call() -> str:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return call, left


def no_room(status: int = 429, retry_after_s: float | None = None, **error: str) -> Refused:
    return Refused("no room", "", status, {"error": error}, retry_after_s)


def away(status: int, retry_after_s: float | None = None) -> Unreachable:
    return Unreachable(f"{status}", status, None, retry_after_s)


@pytest.mark.parametrize(("error", "is_paid"), [(no_room(), True), (no_room(), False), (away(503), False)])
def test_without_a_word_about_when_it_waits_longer_each_time(
    progress: FakeProgress, error: Exception, is_paid: bool
) -> None:
    call, _ = calls(error, error, error, "image")
    assert call_with_retries(call, progress, is_paid=is_paid) == "image"
    assert progress.waits == [1.0, 2.0, 4.0, 0.0]


@pytest.mark.parametrize("error", [no_room(429, 3.5), no_room(500, 3.5), away(503, 3.5)])
def test_it_waits_as_long_as_the_server_says(progress: FakeProgress, error: Exception) -> None:
    call, _ = calls(error, "image")
    assert call_with_retries(call, progress, is_paid=True) == "image"
    assert progress.waits[0] == 3.5


def test_the_wait_is_shown_and_not_the_images_own_time(progress: FakeProgress) -> None:
    call, _ = calls(no_room(429, 2.0), "image")
    call_with_retries(call, progress)
    text = "waiting for the server … it has no room; next try in {} s"
    assert progress.shown == [text.format(2), text.format(1), ""]
    assert progress.restarts == 3


def test_a_proxy_that_says_when_is_asked_again_unless_it_costs(progress: FakeProgress) -> None:
    call, _ = calls(away(502, 1.0), "image")
    assert call_with_retries(call, progress) == "image"
    call, left = calls(away(502, 1.0), "image")
    with pytest.raises(MayBePaidError):
        call_with_retries(call, progress, is_paid=True)
    assert left == ["image"]


@pytest.mark.parametrize("error", [no_room(429, 121.0), no_room(429, 601.0), away(503, 121.0)])
def test_a_wait_that_is_too_long_is_not_begun(progress: FakeProgress, error: Exception) -> None:
    call, left = calls(error, "image")
    with pytest.raises(type(error)):
        call_with_retries(call, progress, is_paid=True)
    assert (left, progress.waits) == (["image"], [0.0])


def test_all_waits_together_are_no_longer_than_the_images_time(progress: FakeProgress) -> None:
    progress.timeout_s = 100.0
    call, left = calls(no_room(429, 40.0), no_room(429, 40.0), no_room(429, 40.0), "image")
    with pytest.raises(Refused):
        call_with_retries(call, progress)
    assert (left, progress.now_s) == (["image"], 80.0)


@pytest.mark.parametrize("error", [no_room(), away(503), no_room(429, 0.0), no_room(500, 0.0)])
def test_a_server_that_is_busy_with_another_image_is_waited_for_as_long_as_one_may_take(
    progress: FakeProgress, error: Exception
) -> None:
    tried = 0

    def call() -> str:
        nonlocal tried
        tried += 1
        if progress.now_s < 500.0:
            raise error
        return "image"

    assert call_with_retries(call, progress) == "image"
    assert progress.now_s < 530.0
    assert tried <= 501
    assert max(progress.waits) <= 30.0


def test_what_costs_something_is_tried_seven_times_at_most(progress: FakeProgress) -> None:
    call, left = calls(*[no_room(429, 0.0)] * 7, "image")
    with pytest.raises(Refused):
        call_with_retries(call, progress, is_paid=True)
    assert left == ["image"]


@pytest.mark.parametrize("code", ["insufficient_quota", "billing_hard_limit_reached"])
def test_what_stays_is_not_tried_again(progress: FakeProgress, code: str) -> None:
    call, left = calls(no_room(429, 1.0, code=code), "image")
    with pytest.raises(Refused):
        call_with_retries(call, progress, is_paid=True)
    call, left = calls(no_room(429, 1.0, type=code), "image")
    with pytest.raises(Refused):
        call_with_retries(call, progress, is_paid=True)
    assert left == ["image"]


@pytest.mark.parametrize("error", [no_room(400), no_room(404), no_room(401), no_room(0), no_room(302)])
def test_another_refusal_costs_nothing(progress: FakeProgress, error: Refused) -> None:
    call, left = calls(error, "image")
    with pytest.raises(Refused):
        call_with_retries(call, progress, is_paid=True)
    assert left == ["image"]


def test_a_limit_for_each_minute_has_passed_by_the_last_try(progress: FakeProgress) -> None:
    call, _ = calls(*[no_room(429)] * 7)
    with pytest.raises(Refused):
        call_with_retries(call, progress, is_paid=True)
    assert progress.now_s > 60


LOST = [
    Unreachable("the connection broke"),
    away(502),
    away(502, 1.0),
    away(503),
    away(504),
    no_room(408),
    no_room(408, 1.0),
    no_room(500),
    no_room(529),
    Refused("answered without an image", "", 200),
]


@pytest.mark.parametrize("error", LOST)
def test_what_may_have_been_paid_for_is_said_and_not_asked_for_again(progress: FakeProgress, error: Exception) -> None:
    call, left = calls(error, "image")
    with pytest.raises(MayBePaidError, match="requested, and no image arrived"):
        call_with_retries(call, progress, is_paid=True)
    assert left == ["image"]


@pytest.mark.parametrize("error", LOST)
def test_what_costs_nothing_is_only_said(progress: FakeProgress, error: Exception) -> None:
    call, _ = calls(*[error] * 1000)
    with pytest.raises(type(error)):
        call_with_retries(call, progress)


def test_a_request_that_never_left_costs_nothing(progress: FakeProgress) -> None:
    call, _ = calls(Unreachable("refused", may_have_arrived=False))
    with pytest.raises(Unreachable):
        call_with_retries(call, progress, is_paid=True)


@pytest.mark.parametrize("error", [away(503, 0.0), no_room(429), no_room(500, 0.0), no_room(500, 3000.0)])
def test_a_server_that_never_had_room_was_paid_nothing(progress: FakeProgress, error: Exception) -> None:
    call, _ = calls(*[error] * 7)
    with pytest.raises(type(error)):
        call_with_retries(call, progress, is_paid=True)


@pytest.mark.parametrize(("error", "why"), [(Cancelled(), "it was cancelled"), (OverdueError(9.0), "not done after 9")])
def test_what_is_given_up_once_it_is_sent_may_have_been_paid_for(
    progress: FakeProgress, error: Exception, why: str
) -> None:
    with pytest.raises(MayBePaidError, match=why):
        call_with_retries(calls(error)[0], progress, is_paid=True)
    with pytest.raises(type(error)):
        call_with_retries(calls(error)[0], progress)


@pytest.mark.parametrize("is_paid", [True, False])
def test_what_is_cancelled_before_it_is_sent_is_cancelled(progress: FakeProgress, is_paid: bool) -> None:
    progress.error = Cancelled()
    call, left = calls("image")
    with pytest.raises(Cancelled) as caught:
        call_with_retries(call, progress, is_paid=is_paid)
    assert (left, caught.value.may_be_paid) == (["image"], False)


def test_what_is_cancelled_while_it_waits_to_be_sent_again_was_not_paid_for(progress: FakeProgress) -> None:
    left: list[Exception] = [no_room(429, 9.0)]

    def call() -> str:
        progress.error = Cancelled()
        raise left.pop()

    with pytest.raises(Cancelled) as caught:
        call_with_retries(call, progress, is_paid=True)
    assert (left, caught.value.may_be_paid) == ([], False)
