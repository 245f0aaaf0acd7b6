"""Executors, fed by the scripted backend: slow, failing, out of order, cancelled."""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imagegen.backends.base import GeneratedImage, Progress, Resolved, ServerSlot, TryAnotherServer
from imagegen.config.settings import Settings
from imagegen.errors import Problem
from imagegen.execute.build_image import restore_image
from imagegen.execute.events import Event, Outcome, ProgressEvent, StaleOutput
from imagegen.execute.executor import Executor
from imagegen.execute.forecast import estimate
from imagegen.execute.stored_images import StoredImages
from imagegen.images.image_file import verify
from imagegen.plan.request import Request
from imagegen.project import Project
from tests.scripted import Script, ScriptedBackend

__all__ = []


JOB = """
backend: scripted
generate: {{width: 32, height: 32}}
scripted: {{model: {model}}}
items:
{items}
"""


class Bench:
    """A project whose scripted backend plays a script, and an executor that works through all its outputs."""

    def __init__(
        self, root: Path, script: Script, jobs: dict[str, list[str]], models: dict[str, str] | None = None
    ) -> None:
        self.backend = ScriptedBackend(script)
        (root / "jobs").mkdir()
        for name, items in jobs.items():
            lines = "\n".join(f"  - {{name: {item}, prompt: a {item}}}" for item in items)
            text = JOB.format(items=lines, model=(models or {}).get(name, "m"))
            (root / f"jobs/{name}.yaml").write_text(text)
        self.project = Project(root, Settings(), {"scripted": lambda: self.backend})
        self.outcomes: list[Outcome] = []
        self.stop, self.cancel = threading.Event(), threading.Event()

    def works(self) -> list[StaleOutput]:
        outputs = [output for plan in self.project.plans() for output in plan.outputs]
        return [StaleOutput(output, self.project.verdict(output)) for output in outputs]

    def run(self) -> dict[str, str]:
        def on_event(event: Event) -> None:
            if isinstance(event, Outcome):
                self.outcomes.append(event)

        executor = Executor(self.project, self.backend, StoredImages(self.project), on_event, self.stop, self.cancel)
        executor.run(self.works())
        return {outcome.output.task: outcome.state for outcome in self.outcomes}

    def problem_text(self) -> str:
        return " ".join(str(outcome.problem) for outcome in self.outcomes)

    def events(self, kind: str) -> list[str]:
        return [name for event, name in self.backend.events if event == kind]


def bench(root: Path, *items: str, **script: Any) -> Bench:
    return Bench(root, Script(**script), {"j": list(items)})


def test_preflight_sees_the_prompt_that_a_random_seed_decides(tmp_path: Path) -> None:
    found = bench(tmp_path, "a")
    job = tmp_path / "jobs/j.yaml"
    text = job.read_text().replace("height: 32", "height: 32, seed: {mode: random}")
    job.write_text(text.replace("prompt: a a", "prompt: 'a {x|y}'"))
    seen: list[str] = []

    class Looking(ScriptedBackend):
        def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
            seen.extend(request.prompt for request in requests)
            return []

    found.backend = Looking(Script())
    assert list(found.run().values()) == ["generated"]
    assert seen == [next(iter(found.project.lock("j").lines.values()))[0].request["prompt"]]
    assert seen[0] in ("a x", "a y")


def test_images_are_made_and_told(tmp_path: Path) -> None:
    found = bench(tmp_path, "a", "b")
    assert found.run() == {"j:a": "generated", "j:b": "generated"}
    verify((tmp_path / "assets/j/a.png").read_bytes(), 32, 32)


def test_no_more_than_the_backends_number_are_in_flight(tmp_path: Path) -> None:
    for number in (1, 3):
        root = tmp_path / str(number)
        root.mkdir()
        found = bench(root, *"abcd", acts={"*": [{"delay_s": 0.4}]}, in_flight=number)
        found.run()
        running = most = 0
        for event, _ in found.backend.events:
            running += {"started": 1, "finished": -1}.get(event, 0)
            most = max(most, running)
        assert most == number


def test_a_slow_image_holds_up_no_other(tmp_path: Path) -> None:
    found = bench(tmp_path, *"abcd", acts={"a": [{"delay_s": 1.5}]})
    found.run()
    assert found.events("finished")[-1] == "a"
    assert found.outcomes[-1].output.slug == "a"


def test_one_failure_holds_up_no_other(tmp_path: Path) -> None:
    found = bench(tmp_path, "a", "b", "c", acts={"b": [{"error": "no luck"}]})
    assert found.run() == {"j:a": "generated", "j:b": "failed", "j:c": "generated"}
    assert "no luck" in found.problem_text()
    assert not (tmp_path / "assets/j/b.png").exists()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        ({"data": "<html>proxy error</html>"}, "not a PNG, WebP, AVIF or JPEG image"),
        ({"size": [16, 16]}, "16×16, not the 32×32 asked for"),
        ({"cut": 10}, "cannot be used"),
        ({"crash": "oh no"}, "a fault in imagegen or the backend scripted: RuntimeError: oh no"),
    ],
)
def test_what_is_no_image_of_the_size_asked_for_is_refused(tmp_path: Path, act: dict[str, Any], message: str) -> None:
    found = bench(tmp_path, "a", acts={"a": [act]})
    assert found.run() == {"j:a": "failed"}
    assert message in found.problem_text()
    assert not (tmp_path / "assets").exists()
    assert list(found.project.store.blobs()) == []


@pytest.mark.parametrize("kind", ["webp", "jpeg", "avif"])
def test_a_backend_may_return_other_formats(tmp_path: Path, kind: str) -> None:
    found = bench(tmp_path, "a", acts={"a": [{"format": kind}]})
    assert found.run() == {"j:a": "generated"}
    assert verify((tmp_path / "assets/j/a.png").read_bytes()).format == "png"


def test_another_size_is_taken_where_the_backend_says_so(tmp_path: Path) -> None:
    class Scaling(ScriptedBackend):
        def generate(self, request: Request, progress: Progress) -> GeneratedImage:
            return replace(super().generate(request, progress), any_size=True)

    found = Bench(tmp_path, Script(), {"j": ["a"]})
    found.backend = Scaling(Script({"a": [{"size": [16, 16]}]}))
    assert found.run() == {"j:a": "generated"}


class FullDisk(ScriptedBackend):
    """Its first image fails for a reason that is not its own. attempts: the one of each call."""

    def __init__(self) -> None:
        super().__init__(Script())
        self.attempts: list[str] = []

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        self.attempts.append(progress.begin_attempt())
        if len(self.attempts) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().generate(request, progress)


def test_the_system_failing_leaves_the_attempt_open_for_the_next_run(tmp_path: Path) -> None:
    found = bench(tmp_path, "a")
    found.backend = backend = FullDisk()
    assert (found.run(), found.run()) == ({"j:a": "failed"}, {"j:a": "generated"})
    assert backend.attempts[0] == backend.attempts[1]


class Numbered(ScriptedBackend):
    """Its version is no text, as a backend of somebody else's can have it."""

    version = 2  # type: ignore[assignment]


def test_what_the_lock_file_cannot_hold_loses_no_image_and_leaves_it_readable(tmp_path: Path) -> None:
    found = bench(tmp_path, "a")
    found.backend = Numbered(Script())
    assert found.run() == {"j:a": "failed"}
    assert "scripted" in found.problem_text()
    found.backend = ScriptedBackend(Script())
    found.project = Project(tmp_path, Settings(), {"scripted": lambda: found.backend})
    (work,) = found.works()
    outcome = restore_image(found.project, StoredImages(found.project), work)
    assert outcome is not None
    assert outcome.state == "restored"


def test_what_an_image_waits_for_others_is_not_recorded_as_its_own_time(tmp_path: Path) -> None:
    class OneAtATime(ScriptedBackend):
        turn = threading.Lock()

        def concurrency(self, request: Request) -> int:  # noqa: ARG002
            return 1

        def generate(self, request: Request, progress: Progress) -> GeneratedImage:
            while not self.turn.acquire(timeout=0.02):
                progress.restart_clock()
            with contextlib.closing(self):
                return super().generate(request, progress)

        def close(self) -> None:
            self.turn.release()

    found = Bench(tmp_path, Script(), {"j": ["a", "b", "c"]})
    found.backend = OneAtATime(Script({"*": [{"delay_s": 0.3}]}, in_flight=3))
    began_s = time.monotonic()
    found.run()
    assert time.monotonic() - began_s >= 0.9
    assert all(0.3 <= outcome.seconds < 0.55 for outcome in found.outcomes)
    recorded = estimate(found.project, [work.output for work in found.works()])
    assert {(one.at_once, round(one.seconds or 0, 1)) for one in recorded.values()} <= {(1, 0.3), (1, 0.4)}


def test_nothing_of_a_job_is_queued_after_a_failed_preflight_and_other_jobs_go_on(tmp_path: Path) -> None:
    found = Bench(tmp_path, Script(problems={"b": "no such checkpoint"}), {"j": ["a", "b"], "k": ["c"]})
    assert found.run() == {"j:a": "failed", "j:b": "failed", "k:c": "generated"}
    assert found.events("started") == ["c"]
    assert "no such checkpoint" in found.problem_text()
    assert "not started, because preflight found problems with j:b" in found.problem_text()


def test_all_that_preflight_finds_is_told_at_once(tmp_path: Path) -> None:
    class Picky(ScriptedBackend):
        def preflight(self, requests: Any) -> Any:
            return [
                Problem("", "no such sampler", "choose another"),
                Problem(requests[1].name, "too large", "make it 64"),
            ]

    found = Bench(tmp_path, Script(), {"job": ["a", "b"]})
    found.backend = Picky(Script())
    found.run()
    reported = [[str(outcome.problem), *map(str, outcome.also)] for outcome in found.outcomes]
    sampler, size = "no such sampler\n    choose another", "b: too large\n    make it 64"
    assert reported == [[sampler], [sampler, size]]


def test_a_backend_that_breaks_in_preflight_fails_its_job_only(tmp_path: Path) -> None:
    class Breaking(ScriptedBackend):
        def preflight(self, requests: Any) -> Any:
            if requests[0].name == "a":
                raise RuntimeError("preflight broke")
            return []

    found = Bench(tmp_path, Script(), {"j": ["a"], "k": ["c"]})
    found.backend = Breaking(Script())
    assert found.run() == {"j:a": "failed", "k:c": "generated"}
    assert "preflight broke" in found.problem_text()


def test_images_of_one_model_stay_together(tmp_path: Path) -> None:
    jobs = {"j": ["a", "b"], "k": ["c"], "l": ["d", "e"]}
    found = Bench(tmp_path, Script(in_flight=1), jobs, {"j": "one", "k": "other", "l": "one"})
    found.run()
    assert found.events("started") == ["a", "b", "d", "e", "c"]


def test_a_time_out_fails_its_image_and_says_how_to_raise_it(tmp_path: Path) -> None:
    found = bench(tmp_path, "a", acts={"a": [{"hang": True}]})
    (tmp_path / "jobs/j.yaml").write_text(JOB.format(items="  - {name: a, prompt: a, timeout_s: 0.2}", model="m"))
    start = time.monotonic()
    assert found.run() == {"j:a": "failed"}
    assert time.monotonic() - start < 5
    assert "not done after 0.2 s" in found.problem_text()
    assert "generate.timeout_s" in found.problem_text()


def test_stopping_finishes_what_runs_and_starts_nothing_more(tmp_path: Path) -> None:
    found = bench(tmp_path, *"abcd", acts={"*": [{"delay_s": 1.5}]}, in_flight=2)
    threading.Timer(0.5, found.stop.set).start()
    assert sorted(found.run().values()) == ["cancelled", "cancelled", "generated", "generated"]
    assert len(found.events("started")) == 2


@pytest.mark.parametrize("broken", [True, False])
def test_what_preflight_finds_once_the_user_has_stopped_it_is_not_told(tmp_path: Path, broken: bool) -> None:
    class Stopped(ScriptedBackend):
        def preflight(self, requests: Any) -> Any:
            found.stop.set()  # Ctrl-C: on a terminal it ends what the backend asks, too
            if broken:
                raise RuntimeError("ended by signal 2")
            return [Problem("", f"ended by signal 2 for {requests[0].name}")]

    found = Bench(tmp_path, Script(), {"j": ["a"], "k": ["b"]})
    found.backend = Stopped(Script())
    assert found.run() == {"j:a": "cancelled", "k:b": "cancelled"}


def test_cancelling_gives_up_what_runs(tmp_path: Path) -> None:
    found = bench(tmp_path, *"abc", acts={"*": [{"hang": True}]}, in_flight=2)

    def twice() -> None:
        found.stop.set()
        found.cancel.set()

    threading.Timer(0.7, twice).start()
    assert set(found.run().values()) == {"cancelled"}
    assert len(found.events("cancelled")) == 2
    assert not (tmp_path / "assets").exists()


def test_one_request_for_two_outputs_is_generated_once(tmp_path: Path) -> None:
    found = bench(tmp_path, "x")
    items = "  - {name: a, prompt: same, seed: 5}\n  - {name: b, prompt: same, seed: 5}"
    (tmp_path / "jobs/j.yaml").write_text(JOB.format(items=items, model="m"))
    assert found.run() == {"j:a": "generated", "j:b": "restored"}
    assert (tmp_path / "assets/j/a.png").read_bytes() == (tmp_path / "assets/j/b.png").read_bytes()


def test_a_file_that_appears_while_its_image_is_made_is_not_replaced(tmp_path: Path) -> None:
    found = bench(tmp_path, "a", acts={"a": [{"delay_s": 1.5}]})
    target = tmp_path / "assets/j/a.png"

    def appear() -> None:
        target.parent.mkdir(parents=True)
        target.write_bytes(b"somebody's own")

    threading.Timer(0.3, appear).start()
    assert found.run() == {"j:a": "failed"}
    assert target.read_bytes() == b"somebody's own"
    assert "imagegen did not write this file" in found.problem_text()
    assert len(list(found.project.store.blobs())) == 1  # what was made is not lost


class SlowToPrepare(ScriptedBackend):
    """Goes on with the job of so many images only when as many others are made."""

    def __init__(self, held_up: int, after: int) -> None:
        super().__init__(Script())
        self._held_up, self._after, self.closed = held_up, after, False

    def choose_model(self, request: Request) -> str:
        return request.model

    def prepare(self, requests: Sequence[Request], progress: Progress) -> Sequence[Problem]:
        while len(requests) == self._held_up and self.events_of("finished") < self._after:
            progress.wait(0.01)
        return []

    def events_of(self, kind: str) -> int:
        return [event for event, _ in self.events].count(kind)

    def close(self) -> None:
        self.closed = True


def slow(root: Path, backend: SlowToPrepare, **jobs: list[str]) -> Bench:
    found = Bench(root, Script(), jobs)
    found.backend = backend
    found.project = Project(root, Settings(), {"scripted": lambda: backend})
    return found


def test_a_job_that_takes_long_to_prepare_holds_up_no_other(tmp_path: Path) -> None:
    backend = SlowToPrepare(held_up=1, after=2)
    found = slow(tmp_path, backend, a=["one"], b=["two", "three"])
    assert set(found.run().values()) == {"generated"}
    assert found.events("started")[-1] == "one"
    assert backend.closed


def test_an_image_of_two_jobs_is_made_once_though_one_is_prepared_later(tmp_path: Path) -> None:
    backend = SlowToPrepare(held_up=3, after=2)
    found = slow(tmp_path, backend, a=["one", "two", "three"], b=["two", "three"])
    states = found.run()
    assert {task for task, state in states.items() if state == "restored"} == {"a:two", "a:three"}
    assert sorted(found.events("started")) == ["one", "three", "two"]


class WhoPrepares(SlowToPrepare):
    def __init__(self) -> None:
        super().__init__(held_up=0, after=0)
        self.threads: set[int] = set()

    def prepare(self, requests: Sequence[Request], progress: Progress) -> Sequence[Problem]:
        self.threads.add(threading.get_ident())
        progress.wait(0.05)
        return super().prepare(requests, progress)


def test_many_jobs_are_prepared_by_a_few_threads(tmp_path: Path) -> None:
    backend = WhoPrepares()
    found = slow(tmp_path, backend, **{f"j{number}": ["one"] for number in range(50)})
    assert len(found.run()) == 50
    assert 1 < len(backend.threads) <= 16


def test_stopping_ends_the_preparing_too(tmp_path: Path) -> None:
    backend = SlowToPrepare(held_up=1, after=1)
    found = slow(tmp_path, backend, a=["one"])
    threading.Timer(0.2, found.stop.set).start()
    assert found.run() == {"a:one": "cancelled"}
    assert backend.closed


class Silent(SlowToPrepare):
    """Answers a question only once it is let go, or after 10 s. Its jobs name no model."""

    def __init__(self, question: str) -> None:
        super().__init__(held_up=0, after=0)
        self._question = question
        self.asked, self.let_go, self.answers = threading.Event(), threading.Event(), threading.Event()

    def resolve(self, section: Mapping[str, Any]) -> Resolved:
        return replace(super().resolve(section), model=None)

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        self._answer("preflight")
        return super().preflight(requests)

    def choose_model(self, request: Request) -> str:
        self._answer("choose_model")
        return request.model or "m"

    def _answer(self, question: str) -> None:
        if question == self._question:
            self.asked.set()
            self.let_go.wait(10)
            self.answers.set()


@pytest.mark.parametrize("question", ["preflight", "choose_model"])
def test_stopping_leaves_behind_what_is_asked_and_not_answered(tmp_path: Path, question: str) -> None:
    backend = Silent(question)
    found = slow(tmp_path, backend, a=["one", "two"])

    def stop() -> None:
        backend.asked.wait(10)
        found.stop.set()

    stopping = threading.Thread(target=stop)
    stopping.start()
    states = found.run()
    assert backend.asked.is_set()
    assert not backend.answers.is_set()
    backend.let_go.set()
    stopping.join()
    assert states == {"a:one": "cancelled", "a:two": "cancelled"}
    assert backend.closed
    assert found.events("started") == []


def test_what_goes_wrong_at_the_end_is_told_and_fails_nothing(tmp_path: Path) -> None:
    class Unending(SlowToPrepare):
        def close(self) -> None:
            raise RuntimeError("its process cannot be stopped")

    found = slow(tmp_path, Unending(held_up=1, after=0), a=["one"])
    reported: list[Event] = []
    project = found.project
    executor = Executor(project, found.backend, StoredImages(project), reported.append, found.stop, found.cancel)
    executor.run(found.works())
    assert [event.state for event in reported if isinstance(event, Outcome)] == ["generated"]
    last = reported[-1]
    assert isinstance(last, ProgressEvent)
    assert (last.name, last.facts) == ("note", {"text": "its process cannot be stopped"})


def test_images_without_a_problem_of_their_own_name_some_of_those_that_have_one(tmp_path: Path) -> None:
    names = [f"i{number}" for number in range(30)]
    bench = Bench(tmp_path, Script(problems=dict.fromkeys(names[:25], "no")), {"j": names})
    assert set(bench.run().values()) == {"failed"}
    message = {outcome.problem.what for outcome in bench.outcomes if outcome.problem}
    tasks = ", ".join(f"j:{name}" for name in names[:20])
    assert message == {"no", f"not started, because preflight found problems with {tasks} and 5 more"}


class Desk(ServerSlot):
    """Room at a server. lost: it turns images away."""

    def __init__(self, studio: Studio, name: str) -> None:
        self.studio, self.name = studio, name

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        begun, attempt = progress.last_server, progress.begin_attempt(self.name)
        self.studio.tries.append((request.name, self.name, begun, attempt))
        if self.name in self.studio.lost:
            progress.wait(0.05)
            raise TryAnotherServer
        return self.studio.generate(request, progress)

    def release(self) -> None:
        with self.studio.mutex:
            self.studio.taken[self.name] -= 1


class Studio(ScriptedBackend):
    """With desks `left` and `right`, one image at each; the left one makes no image whose name begins with `r`."""

    def __init__(self, script: Script, *lost: str) -> None:
        super().__init__(script)
        self.lost = set(lost)
        self.taken: Counter[str] = Counter()
        self.mutex = threading.Lock()
        self.tries: list[tuple[str, str, str, str]] = []
        self.waited: list[dict[Hashable, int]] = []

    def batch_key(self, request: Request) -> Hashable:
        return "r" if request.name.startswith("r") else "any"

    def pick_server(self, waiting: Mapping[Any, int]) -> tuple[Hashable, ServerSlot] | None:
        with self.mutex:
            self.waited.append(dict(waiting))
            tried = {name for _, name, _, _ in self.tries}
            for name in ("left", "right"):
                groups = [group for group in waiting if group == "any" or name == "right"]
                if groups and not self.taken[name] and not (name in self.lost and name in tried):
                    self.taken[name] += 1
                    return groups[0], Desk(self, name)
        return None


def studio(root: Path, *items: str, lost: tuple[str, ...] = (), **script: Any) -> tuple[Bench, Studio]:
    found = Bench(root, Script(), {"j": list(items)})
    backend = Studio(Script(**{"in_flight": 4, **script}), *lost)
    found.backend = backend
    return found, backend


def test_each_image_is_made_where_it_can_be(tmp_path: Path) -> None:
    found, backend = studio(tmp_path, "a", "b", "ra", "rb", acts={"*": [{"delay_s": 0.1}]})
    assert set(found.run().values()) == {"generated"}
    assert {name for name, place, _, _ in backend.tries if place == "left"} <= {"a", "b"}
    assert sorted(name for name, *_ in backend.tries) == ["a", "b", "ra", "rb"]
    assert backend.waited[0] == {"any": 2, "r": 2}
    assert not +backend.taken


def test_an_image_whose_place_is_lost_goes_on_elsewhere_as_the_same_attempt(tmp_path: Path) -> None:
    found, backend = studio(tmp_path, "a", "b", "c", lost=("left",))
    assert found.run() == dict.fromkeys(("j:a", "j:b", "j:c"), "generated")
    ((moved, _, _, attempt),) = [one for one in backend.tries if one[1] == "left"]
    assert [one for one in backend.tries if one[0] == moved][1:] == [(moved, "right", "left", attempt)]
    assert [begun for name, _, begun, _ in backend.tries if name != moved] == ["", ""]
    found.project.attempts.compact()
    assert not (found.project.state / "attempts.jsonl").exists(), "none is under way"


def test_an_image_that_waits_for_another_place_is_given_up_when_the_user_stops(tmp_path: Path) -> None:
    found, backend = studio(tmp_path, "ra", lost=("right",))
    threading.Timer(0.5, found.stop.set).start()
    assert found.run() == {"j:ra": "cancelled"}
    assert len(backend.tries) == 1
    assert b'"place":"right"' in (found.project.state / "attempts.jsonl").read_bytes()


def test_images_of_one_fingerprint_are_made_at_one_place(tmp_path: Path) -> None:
    found, backend = studio(tmp_path, "a")
    (tmp_path / "jobs/k.yaml").write_bytes((tmp_path / "jobs/j.yaml").read_bytes())
    assert sorted(found.run().values()) == ["generated", "restored"]
    assert len(backend.tries) == 1
    assert not +backend.taken
