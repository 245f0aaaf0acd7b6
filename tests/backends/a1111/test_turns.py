"""A server generates one image at a time, no matter who asks: ours waits for its turn, is followed, and is stopped alone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from imagegen.backends.base import Cancelled, GeneratedImage, GenerationError, MayBeRunningError, OverdueError
from tests.backends.a1111.calls import make_backend, make_request
from tests.backends.a1111.fake_a1111 import PATIENCE_S, FakeA1111
from tests.backends.ollama.parts import RecordedProgress
from tests.backends.sd.fake_sd_server.fixture import until

A_FAMILY = ["a1111", "forge", "reforge"]


class Attempt:
    """An image, a red fox of 20 steps, that is generated in a thread."""

    def __init__(self, fake: FakeA1111, pool: ThreadPoolExecutor, **server: Any) -> None:
        self.fake = fake
        self.progress = RecordedProgress(timeout_s=10 * PATIENCE_S)
        backend, request = make_backend(fake), make_request(fake, steps=20, extra={"server": server} if server else {})
        assert list(backend.preflight([request])) == []
        self._result: Future[GeneratedImage] = pool.submit(backend.generate, request, self.progress)

    def end(self) -> GeneratedImage | BaseException:
        """Wait for the image, or for what is raised instead."""
        error = self._result.exception(PATIENCE_S)
        return error or self._result.result()

    def cancel(self) -> str:
        """Cancel it as Ctrl-C does, pressed twice. Returns what the user reads."""
        self.progress.cancel.set()
        error = self.end()
        assert isinstance(error, (Cancelled, MayBeRunningError)), error
        return " ".join([str(error), *(one["text"] for one in self.progress.named("note"))])

    @property
    def is_queued(self) -> bool:
        return "a red fox" in " ".join(self.fake.queue[1:])


@pytest.fixture
def pool(fake: FakeA1111) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made
        fake.open_gates()  # if a test failed, it has left them closed


@contextmanager
def held(fake: FakeA1111, pool: ThreadPoolExecutor, **server: Any) -> Iterator[Attempt]:
    """Hold our image in its middle."""
    gate = fake.hold("a red fox")
    attempt = Attempt(fake, pool, **server)
    gate.wait_reached()
    try:
        yield attempt
    finally:
        gate.open()


@contextmanager
def queued(fake: FakeA1111, pool: ThreadPoolExecutor, **server: Any) -> Iterator[Attempt]:
    """Have our image wait for another client's, which is held in its middle."""
    with fake.other_client():
        attempt = Attempt(fake, pool, **server)
        until(lambda: attempt.is_queued)
        yield attempt


@pytest.mark.parametrize("has_task_ids", [True, False])
@pytest.mark.parametrize("fake", ["a1111", "sdnext"], indirect=True)
def test_its_steps_are_reported(fake: FakeA1111, pool: ThreadPoolExecutor, has_task_ids: bool) -> None:
    fake.has_task_ids = has_task_ids
    with held(fake, pool) as attempt:
        until(lambda: attempt.progress.named("steps"))
    assert isinstance(attempt.end(), GeneratedImage)
    assert {(one["done"], one["total"]) for one in attempt.progress.named("steps")} == {(10, 20)}


@pytest.mark.parametrize("fake", ["sd-server", "koboldcpp", "draw-things"], indirect=True)
def test_without_progress_nothing_is_reported_and_the_image_arrives(fake: FakeA1111, pool: ThreadPoolExecutor) -> None:
    with held(fake, pool) as attempt:
        pass
    assert isinstance(attempt.end(), GeneratedImage)
    assert attempt.progress.named("steps") == []


@pytest.mark.parametrize("fake", A_FAMILY[:2], indirect=True)
@pytest.mark.parametrize("has_task_ids", [True, False])
def test_another_persons_image_is_waited_for_with_the_clock_stopped(
    fake: FakeA1111, pool: ThreadPoolExecutor, has_task_ids: bool
) -> None:
    fake.has_task_ids = has_task_ids
    with queued(fake, pool) as attempt:
        until(lambda: attempt.progress.named("waiting") and attempt.progress.named("restarted"))
        assert attempt.progress.named("steps") == []
    assert isinstance(attempt.end(), GeneratedImage)
    assert [(one.prompt, one.is_whole) for one in fake.pictures] == [("somebody else's", True), ("a red fox", True)]


@pytest.mark.parametrize("has_task_ids", [True, False])
@pytest.mark.parametrize("fake", A_FAMILY[:2], indirect=True)
def test_an_image_that_is_cancelled_is_stopped_where_it_is_known_to_be_ours(
    fake: FakeA1111, pool: ThreadPoolExecutor, has_task_ids: bool
) -> None:
    fake.has_task_ids = has_task_ids
    with held(fake, pool) as attempt:
        attempt.cancel()
        assert fake.interrupts == 1
    until(lambda: [one.is_whole for one in fake.pictures] == [False])


@pytest.mark.parametrize("fake", ["a1111", "sdnext"], indirect=True)
def test_an_image_that_takes_too_long_is_stopped(fake: FakeA1111, pool: ThreadPoolExecutor) -> None:
    with held(fake, pool) as attempt:
        attempt.progress.timeout_s = 0
        assert isinstance(attempt.end(), OverdueError)
        assert fake.interrupts == 1


@pytest.mark.parametrize("fake", ["a1111", "sdnext"], indirect=True)
@pytest.mark.parametrize("has_task_ids", [True, False])
def test_another_persons_image_is_not_stopped_with_ours(
    fake: FakeA1111, pool: ThreadPoolExecutor, has_task_ids: bool
) -> None:
    fake.has_task_ids = has_task_ids
    with queued(fake, pool) as attempt:
        said = attempt.cancel()
        assert fake.interrupts == 0
    assert "goes on" in said
    until(lambda: not fake.queue)
    assert [one.is_whole for one in fake.pictures] == [True, True]


@pytest.mark.parametrize("fake", ["a1111", "sdnext"], indirect=True)
def test_nothing_is_stopped_where_the_job_forbids_it(fake: FakeA1111, pool: ThreadPoolExecutor) -> None:
    with held(fake, pool, interrupt=False) as attempt:
        assert "goes on" in attempt.cancel()
        assert fake.interrupts == 0
    assert [one.is_whole for one in fake.pictures] == [True]


@pytest.mark.parametrize("allowed", [True, None])
@pytest.mark.parametrize("fake", ["sdnext"], indirect=True)
def test_what_may_be_another_persons_is_stopped_only_where_the_job_allows_it(
    fake: FakeA1111, pool: ThreadPoolExecutor, allowed: bool | None
) -> None:
    gate = fake.hold("a red fox")
    with queued(fake, pool, **({"interrupt": allowed} if allowed else {})) as attempt:
        pass
    gate.wait_reached()
    said = attempt.cancel()
    assert (fake.interrupts == 1, "goes on" in said) == (bool(allowed), not allowed)


@pytest.mark.parametrize("fake", ["a1111", "sdnext"], indirect=True)
def test_what_is_known_to_be_another_persons_is_not_stopped_even_then(
    fake: FakeA1111, pool: ThreadPoolExecutor
) -> None:
    fake.has_task_ids = False
    with queued(fake, pool, interrupt=True) as attempt:
        assert "goes on" in attempt.cancel()
        assert fake.interrupts == 0


@pytest.mark.parametrize("fake", ["sd-server", "koboldcpp", "draw-things"], indirect=True)
def test_a_program_that_cannot_be_interrupted_goes_on_and_that_is_said(
    fake: FakeA1111, pool: ThreadPoolExecutor
) -> None:
    with held(fake, pool) as attempt:
        assert "goes on" in attempt.cancel()
    assert [one.is_whole for one in fake.pictures] == [True]


@pytest.mark.parametrize("fake", ["a1111", "forge", "sdnext"], indirect=True)
def test_a_half_done_image_of_which_somebody_had_enough_is_not_taken(fake: FakeA1111, pool: ThreadPoolExecutor) -> None:
    with held(fake, pool) as attempt:
        fake.interrupt()
        error = attempt.end()
    assert isinstance(error, GenerationError), error
    assert "half done" in str(error)


@contextmanager
def followed(fake: FakeA1111, pool: ThreadPoolExecutor) -> Iterator[Attempt]:
    """Hold our image until its progress was seen, with another client's image behind it."""
    with held(fake, pool) as attempt:
        other = fake.ask("somebody else's")
        until(lambda: len(fake.queue) == 2)
        until(lambda: len(attempt.progress.named("steps")) > 1)
        yield attempt
    other.join(PATIENCE_S)


@pytest.mark.parametrize("fake", ["a1111", "sdnext"], indirect=True)
def test_that_it_was_stopped_is_remembered_when_another_one_begins(fake: FakeA1111, pool: ThreadPoolExecutor) -> None:
    fake.done, fake.stops_at_once = 0.95, False
    with followed(fake, pool) as attempt:
        fake.interrupt()
        seen = len(attempt.progress.named("steps"))
        until(lambda: len(attempt.progress.named("steps")) > seen + 1)
    assert "half done" in str(attempt.end())


@pytest.mark.parametrize("fake", ["a1111", "sdnext"], indirect=True)
def test_a_whole_image_is_taken_though_another_one_has_begun(fake: FakeA1111, pool: ThreadPoolExecutor) -> None:
    fake.done = 0.95
    with followed(fake, pool) as attempt:
        pass
    assert isinstance(attempt.end(), GeneratedImage)


@pytest.mark.parametrize("fake", ["a1111", "sdnext"], indirect=True)
def test_the_time_of_an_image_begins_with_the_last_one_where_it_has_no_id(
    fake: FakeA1111, pool: ThreadPoolExecutor
) -> None:
    fake.has_task_ids = False
    second, ours = fake.hold("the second"), fake.hold("a red fox")
    with fake.other_client("the first"):
        fake.ask("the second")
        until(lambda: len(fake.queue) == 2)
        attempt = Attempt(fake, pool)
        until(lambda: attempt.is_queued)
    second.wait_reached()
    until(lambda: len(attempt.progress.named("steps")) > 1)
    before = len(attempt.progress.named("restarted"))
    second.open()
    ours.wait_reached()
    until(lambda: len(attempt.progress.named("restarted")) > before)
    ours.open()
    assert isinstance(attempt.end(), GeneratedImage)


def test_the_time_of_an_image_begins_when_others_are_done(fake: FakeA1111, pool: ThreadPoolExecutor) -> None:
    with queued(fake, pool) as attempt:
        until(lambda: attempt.progress.named("restarted"))
        before = len(attempt.progress.named("restarted"))
        until(lambda: len(attempt.progress.named("restarted")) > before)
    assert isinstance(attempt.end(), GeneratedImage)
