"""Images that cost something, over real runs: nothing is paid for twice, and nothing that was paid for is lost."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from imagegen.backends.base import GeneratedImage, Progress
from imagegen.execute import build_image, generation
from imagegen.execute.events import Event, Outcome
from imagegen.execute.finishing_room import FinishingRoom
from imagegen.execute.forecast import forecast
from imagegen.execute.run import RunResult, run
from imagegen.images.image_file import verify, verify_file
from imagegen.plan.request import Request
from imagegen.state import atomic, store
from tests.execute.test_executor import Bench, Studio
from tests.project_folder import ProjectFolder
from tests.scripted import Script, ScriptedBackend
from tests.state.waiting import wait_until

ITEMS = [{"name": name, "prompt": f"figure {name}"} for name in ("A", "B", "C")]
FOUR_CENTS = {"*": "0.04"}


class Paid:
    """A project whose images cost 4 cents each. With each run, the outcomes and what the run cost."""

    def __init__(self, folder: ProjectFolder, **script: Any) -> None:
        self.folder = folder
        self.outcomes: dict[str, Outcome] = {}
        self.plays(**script)
        folder.job(items=ITEMS)

    def plays(self, **script: Any) -> None:
        self.folder.backend = ScriptedBackend(Script(**{"prices": FOUR_CENTS, "in_flight": 1, **script}))

    def run(self, budget: str | None = None, forced: Sequence[str] = ()) -> RunResult:
        limit = None if budget is None else Decimal(budget)
        self.folder.settings = replace(self.folder.settings, budget=limit)
        project = self.folder.project()
        outputs = self.folder.outputs(project)
        events: list[Event] = []
        result = run(project, list(outputs.values()), events.append, forced)
        self.events = events
        self.outcomes = {event.output.task: event for event in events if isinstance(event, Outcome)}
        return result

    @property
    def states(self) -> list[str]:
        return [outcome.state for _, outcome in sorted(self.outcomes.items())]

    def whats(self, task: str) -> list[str]:
        outcome = self.outcomes[task]
        return [problem.what for problem in (*filter(None, [outcome.problem]), *outcome.also)]

    @property
    def requested(self) -> list[str]:
        return [name for event, name in self.folder.backend.events if event == "started"]


@pytest.fixture
def paid(folder: ProjectFolder) -> Paid:
    return Paid(folder)


def costs(result: RunResult) -> tuple[Decimal, int, int, int]:
    found = result.costs
    assert found is not None
    return found.spent, found.unpriced, found.lost, found.lost_before


def test_a_run_says_what_it_cost_and_what_is_restored_costs_nothing(paid: Paid) -> None:
    assert costs(paid.run()) == (Decimal("0.12"), 0, 0, 0)
    for file in paid.folder.files():
        (paid.folder.root / file).unlink()
    assert costs(paid.run()) == (Decimal(0), 0, 0, 0)
    assert paid.states == ["restored"] * 3


def test_the_budget_is_never_passed_and_what_costs_nothing_goes_on(paid: Paid) -> None:
    paid.folder.job(items=[*ITEMS, {"name": "Free", "prompt": "free"}])
    paid.plays(prices={"*": "0.04", "Free": "0"})
    result = paid.run("0.09")
    assert costs(result)[0] == Decimal("0.08")
    assert sorted(paid.states) == ["failed", "generated", "generated", "generated"]
    assert paid.outcomes["portraits:free"].state == "generated"
    assert paid.folder.build() == {task: "generated" for task, one in paid.outcomes.items() if one.state == "failed"}


def test_all_that_pass_the_budget_have_one_problem(paid: Paid) -> None:
    paid.run("0.04")
    assert len({str(outcome.problem).partition(": ")[2] for outcome in paid.outcomes.values() if outcome.problem}) == 1
    assert paid.states.count("failed") == 2
    assert len(paid.requested) == 1


def test_the_budget_is_one_for_all_backends_of_a_run(folder: ProjectFolder) -> None:
    paid = Paid(folder)

    class Other(ScriptedBackend):
        name = "other"

    other = Other(Script(prices=FOUR_CENTS))
    backends: dict[str, Any] = {"scripted": lambda: folder.backend, "other": lambda: other}
    folder.backends = backends
    folder.job("others", backend="other", items=ITEMS)
    assert costs(paid.run("0.16"))[0] == Decimal("0.16")
    assert sorted(paid.states) == ["failed"] * 2 + ["generated"] * 4


def test_an_image_of_unknown_price_is_refused_by_preflight_while_there_is_a_budget(paid: Paid) -> None:
    paid.plays(prices={"*": "0.04", "B": None})
    assert costs(paid.run("5"))[0] == 0
    assert paid.whats("portraits:b") == ["there is a budget, and what an image of colours costs is not known"]
    assert "not started, because preflight found problems with portraits:b" in paid.whats("portraits:a")[0]
    assert paid.requested == []
    assert costs(paid.run()) == (Decimal("0.08"), 1, 0, 0)


def test_a_refused_image_costs_nothing_and_a_lost_answer_does(paid: Paid) -> None:
    paid.plays(acts={"A": [{"error": "not allowed"}], "B": [{"lost": "the connection broke"}]})
    assert costs(paid.run()) == (Decimal("0.08"), 0, 1, 0)
    assert paid.whats("portraits:a") == ["not allowed"]
    what = "the connection broke; it may have been paid for, and the next run requests it again"
    assert paid.whats("portraits:b") == [what], "one loss, one message"
    paid.plays()
    assert costs(paid.run()) == (Decimal("0.08"), 0, 0, 0), "it was said once, and is an attempt of its own now"


def test_cancelling_an_image_in_progress_says_that_it_may_have_been_paid_for(paid: Paid) -> None:
    root = paid.folder.root / "bench"
    root.mkdir()
    bench = Bench(root, Script(acts={"*": [{"hang": True}]}, prices=FOUR_CENTS, in_flight=1), {"j": ["a", "b"]})

    def cancel_once_it_is_begun() -> None:
        while not bench.events("started"):
            time.sleep(0.02)
        bench.stop.set()
        bench.cancel.set()

    threading.Thread(target=cancel_once_it_is_begun, daemon=True).start()
    assert set(bench.run().values()) == {"cancelled"}
    notes = {outcome.output.task: outcome.note for outcome in bench.outcomes}
    assert notes == {"j:a": "may have been paid for, though it never arrived", "j:b": ""}


@pytest.mark.parametrize("act", [{"size": [16, 16]}, {"format": "jpeg", "size": [64, 64]}])
def test_an_image_of_another_size_is_used_and_not_paid_for_again(paid: Paid, act: dict[str, Any]) -> None:
    width, height = act["size"]
    paid.plays(acts={"A": [act]})
    assert costs(paid.run())[0] == Decimal("0.12")
    outcome = paid.outcomes["portraits:a"]
    assert outcome.state == "generated"
    assert f"the image is {width}×{height}, not the 32×32 asked for: used all the same" in outcome.note
    assert verify(paid.folder.image("a").read_bytes(), width, height)
    assert paid.run().costs is None
    assert paid.states == ["fresh"] * 3


class Flat(ScriptedBackend):
    """Its images must not be flat, and are."""

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        return replace(super().generate(request, progress), may_be_flat=False)


def test_a_flat_image_is_used_too(paid: Paid) -> None:
    paid.folder.backend = Flat(Script(prices=FOUR_CENTS))
    paid.run()
    assert paid.states == ["generated"] * 3
    assert "of one flat colour" in paid.outcomes["portraits:a"].note


@pytest.mark.parametrize("act", [{"cut": 10}, {"data": "<html>what is this</html>"}])
def test_what_cannot_be_decoded_is_kept_and_nothing_more_is_paid_for(paid: Paid, act: dict[str, Any]) -> None:
    paid.plays(acts={"*": [act]}, prices={"*": "0.04", "C": "0"})
    assert costs(paid.run())[0] == Decimal("0.04")
    assert paid.states == ["failed"] * 3
    (kept,) = (paid.folder.root / ".imagegen/paid").iterdir()
    assert f"it is kept in .imagegen/paid/{kept.name}" in paid.whats("portraits:a")[0]
    assert paid.whats("portraits:b")[0].startswith("not generated, because what scripted returned for portraits:a was")
    hint = paid.outcomes["portraits:b"].problem.hint  # type: ignore[union-attr]
    assert hint == "see what is wrong with that one, before you run doit again: it would pay for the others"
    assert paid.requested == ["A", "C"]

    paid.plays()
    assert costs(paid.run())[0] == Decimal("0.08"), "the others are paid for, this one is not"
    assert paid.states == ["failed", "generated", "generated"]
    assert paid.whats("portraits:a")[0] == (
        f"not built, because it was paid for already, and is kept in .imagegen/paid/{kept.name}"
    )
    project = paid.folder.project()
    standing = [(one, project.verdict(one)) for one in paid.folder.outputs(project).values()]
    expected = forecast(project, standing, ())
    assert [str(one.act) for one in expected.images] == ["fail", "fresh", "fresh"]
    assert expected.price == 0
    assert costs(paid.run("0.04"))[0] == 0
    assert "it was paid for already" in paid.whats("portraits:a")[0]
    kept.unlink()
    assert costs(paid.run())[0] == Decimal("0.04")
    assert paid.states == ["generated", "fresh", "fresh"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no folder for the temporary files of all")
def test_what_others_have_in_the_shared_temporary_folder_keeps_no_image_from_being_built(
    paid: Paid, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for output in paid.folder.outputs(paid.folder.project()).values():
        file = tmp_path / f"x.{output.fingerprint[:16]}.png"
        if os.geteuid() == 0:
            file.write_bytes(b"")
            os.chown(file, 12345, 12345)
        else:
            file.symlink_to("/etc/hosts")
    paid.run()
    assert paid.states == ["generated"] * 3


def test_what_is_forced_is_paid_for_again(paid: Paid) -> None:
    paid.plays(acts={"A": [{"cut": 10}]})
    paid.run()
    paid.plays()
    assert costs(paid.run(forced=["portraits:a"]))[0] == Decimal("0.12")
    assert paid.states == ["generated"] * 3


def test_it_is_in_the_store_before_it_is_verified(paid: Paid, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = verify_file

    def looking(*args: Any, **kwargs: Any) -> Any:
        seen.append(len(list(paid.folder.project().store.all_entries())))
        return real(*args, **kwargs)

    monkeypatch.setattr(generation, "verify_file", looking)
    paid.run()
    assert seen == [1, 2, 3]


def test_it_is_in_the_store_though_there_is_no_room_to_finish_it(paid: Paid, monkeypatch: pytest.MonkeyPatch) -> None:
    real = build_image.encode_output

    def encode(*args: Any) -> bytes:  # of the one that has room
        wait_until(lambda: len(list(paid.folder.project().store.all_entries())) == len(ITEMS))
        return real(*args)

    monkeypatch.setattr(generation, "encode_output", encode)
    monkeypatch.setattr("imagegen.execute.run.FinishingRoom", lambda: FinishingRoom(most_bytes=1))
    paid.plays(in_flight=len(ITEMS))
    paid.run()
    assert paid.states == ["generated"] * 3


def test_a_fault_after_it_arrived_loses_nothing(paid: Paid) -> None:
    class Untidy(ScriptedBackend):
        def generate(self, request: Request, progress: Progress) -> GeneratedImage:
            def fail() -> None:
                raise RuntimeError("its server is gone")

            return replace(super().generate(request, progress), on_stored=fail)

    paid.folder.backend = Untidy(Script(prices=FOUR_CENTS))
    assert costs(paid.run())[0] == Decimal("0.12")
    assert paid.states == ["failed"] * 3
    paid.plays()
    assert costs(paid.run())[0] == 0
    assert paid.states == ["restored"] * 3


def test_facts_that_cannot_be_kept_lose_no_image(paid: Paid) -> None:
    class Odd(ScriptedBackend):
        def generate(self, request: Request, progress: Progress) -> GeneratedImage:
            return replace(super().generate(request, progress), facts=5)  # type: ignore[arg-type]

    paid.folder.backend = Odd(Script(prices=FOUR_CENTS, in_flight=1))
    paid.run()
    kept = {path.name.partition("-")[0]: path.read_bytes() for path in (paid.folder.root / ".imagegen/paid").iterdir()}
    assert set(kept) == {"a", "b", "c"}
    assert all(verify(data, 32, 32) for data in kept.values())
    assert "it was paid for, and is kept in .imagegen/paid/a-" in paid.whats("portraits:a")[1]


@pytest.mark.parametrize("is_full", [True, False])
def test_a_store_that_takes_nothing_loses_no_image_and_nothing_more_is_paid_for(
    paid: Paid, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_full: bool
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    real = atomic.replace_file

    def failing(path: Path, *args: Any) -> Any:
        if is_full or "blobs" in path.parts:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return real(path, *args)

    paid.folder.job("others", items=ITEMS[:1], generate={"width": 16, "height": 16})
    with monkeypatch.context() as patch:
        patch.setattr(store, "replace_file", failing)
        patch.setattr("imagegen.execute.paid_images.replace_file", failing)
        assert costs(paid.run())[0] == Decimal("0.04")
    assert len(paid.requested) == 1
    assert len({str(outcome.problem).partition(": ")[2] for outcome in paid.outcomes.values()}) == 1
    (first,) = [task for task, outcome in paid.outcomes.items() if outcome.also]
    (kept,) = elsewhere.iterdir() if is_full else (paid.folder.root / ".imagegen/paid").iterdir()
    assert verify(kept.read_bytes())
    assert f"it was paid for, and is kept in {kept if is_full else f'.imagegen/paid/{kept.name}'}" in paid.whats(first)

    paid.plays()
    assert costs(paid.run())[0] == Decimal("0.12")
    assert [task for task, outcome in paid.outcomes.items() if outcome.state == "failed"] == [first]
    assert "it was paid for already" in paid.whats(first)[0]
    kept.unlink()
    assert costs(paid.run()) == (Decimal("0.04"), 0, 0, 0), "it arrived, so nothing is said of an earlier run"


def test_nothing_is_requested_if_the_attempt_cannot_be_noted(paid: Paid, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("imagegen.state.attempts.Attempts.open", full)
        assert costs(paid.run()) == (Decimal(0), 0, 0, 0)
    assert paid.requested == []
    assert costs(paid.run()) == (Decimal("0.12"), 0, 0, 0)


def test_an_image_that_moves_to_another_server_is_paid_for_once(paid: Paid) -> None:
    class Priced(Studio):
        def price(self, request: Request) -> Decimal | None:  # noqa: ARG002
            return Decimal("0.04")

    paid.folder.backend = Priced(Script(in_flight=4), "left")
    assert costs(paid.run("0.12")) == (Decimal("0.12"), 0, 0, 0)
    assert paid.states == ["generated"] * 3


def test_a_shared_store_gets_what_was_paid_for_and_nothing_that_cannot_be_used(paid: Paid, tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    paid.folder.settings = replace(paid.folder.settings, store=f"file://{tmp_path}/team")
    paid.plays(acts={"A": [{"size": [16, 16]}], "C": [{"cut": 10}]})
    paid.run()
    assert paid.states == ["generated", "generated", "failed"]
    (kept,) = (paid.folder.root / ".imagegen/paid").iterdir()
    colleague = Paid(paid.folder.clone(tmp_path / "colleague"))
    assert costs(colleague.run())[0] == Decimal("0.04")
    assert colleague.states == ["restored", "restored", "generated"]
    assert colleague.folder.image("a").read_bytes() == paid.folder.image("a").read_bytes()
    team = [path.read_bytes() for path in (tmp_path / "team").rglob("*") if path.is_file()]
    assert kept.read_bytes() not in team
