from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from imagegen.config.settings import Settings
from imagegen.errors import Problem, printable
from imagegen.execute.budget import Costs
from imagegen.execute.events import Outcome
from imagegen.plan.freshness import Reason
from imagegen.plan.output import Output
from imagegen.project import Project
from imagegen.report.console import (
    closing_line,
    cost_text,
    failures,
    line_with_seed,
    outcome_line,
    same_seed_lines,
    shown_line,
    table,
)


@pytest.fixture
def output(tmp_path: Path) -> Output:
    from tests.scripted import ScriptedBackend

    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/j.yaml").write_text("backend: scripted\nitems: [{name: A, prompt: a}]")
    return Project(tmp_path, Settings(), {"scripted": ScriptedBackend}).plans()[0].outputs[0]


def test_what_is_restored_is_not_called_new(output: Output) -> None:
    new, missing = (Reason("new"),), (Reason("missing"),)
    assert outcome_line(Outcome(output, "restored", new)) == "restored   j:a  assets/j/a.png"
    assert outcome_line(Outcome(output, "restored", missing)) == "restored   j:a  assets/j/a.png  (missing)"
    assert outcome_line(Outcome(output, "derived", new)).endswith("(new)")


def test_causes_are_told_once_with_the_first_few_that_they_hit(output: Output) -> None:
    one, other = Problem("", "out of memory", "smaller images"), Problem("", "no disk")
    outcomes = [Outcome(output, "failed", problem=problem) for problem in (one, one, other, one, one, one)]
    assert failures(outcomes) == ["j:a, j:a, j:a and 2 more: out of memory\n    smaller images", "j:a: no disk"]


@pytest.mark.parametrize(
    ("counts", "broken", "message"),
    [
        ({"fresh": 3}, 0, "3 fresh, nothing to do (1.2 s)"),
        ({"generated": 1, "fresh": 2, "failed": 1}, 2, "1 generated, 2 fresh, 1 failed, 2 broken jobs (1.2 s)"),
        ({"cancelled": 2, "kept": 1, "restored": 4}, 0, "4 restored, 1 kept, 2 not built (1.2 s)"),
        ({}, 1, "1 broken job (1.2 s)"),
        ({}, 0, "nothing to do (1.2 s)"),
    ],
)
def test_the_closing_line(counts: dict[str, int], broken: int, message: str) -> None:
    assert closing_line(counts, broken, 1.23) == message


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        (None, ""),
        (Costs(), ""),
        (Costs(Decimal("0.170")), "cost $0.17"),
        (Costs(Decimal("0.08"), unpriced=1), "cost $0.08 and 1 image of unknown price"),
        (Costs(unpriced=3), "cost unknown"),
        (Costs(Decimal("0.12"), lost=1), "cost up to $0.12, 1 image may have been paid for without arriving"),
        (Costs(Decimal("0.04"), lost_before=2), "cost $0.04, 2 images may have been paid for without arriving"),
        (Costs(lost=1), "1 image may have been paid for without arriving"),
    ],
)
def test_what_a_run_cost_is_in_its_closing_line(costs: Costs | None, message: str) -> None:
    assert cost_text(costs) == message
    closing = "1 generated, " + f"{message} (1.0 s)" if message else "1 generated (1.0 s)"
    assert closing_line({"generated": 1}, 0, 1, message) == closing


def test_settings_that_are_not_valid_are_not_counted_as_broken_jobs() -> None:
    message = "nothing was built: the settings are not valid (1.2 s)"
    assert closing_line({}, 12, 1.23, has_settings=False) == message


def test_an_image_that_was_not_begun_has_no_line_of_its_own(output: Output) -> None:
    assert shown_line(Outcome(output, "cancelled")) == line_with_seed(Outcome(output, "cancelled")) == ""


def test_an_image_that_was_cancelled_while_it_was_generated_has_a_line(output: Output) -> None:
    cancelled = Outcome(output, "cancelled", was_begun=True)
    assert shown_line(cancelled) == line_with_seed(cancelled) == f"cancelled  j:a  {output.path}"


def test_after_doit_a_it_says_that_the_seed_gives_the_same_picture(output: Output) -> None:
    forced, changed = (Reason("forced"),), (Reason("changed", "prompt"),)
    assert same_seed_lines([Outcome(output, "generated", changed), Outcome(output, "failed", forced)]) == []
    message = "1 image kept its seed, which gives the same picture; for another one: doit reroll j:a"
    assert same_seed_lines([Outcome(output, "generated", forced)]) == [message]
    own = replace(output, has_own_seed=True)
    assert "write another 'seed' for j:a in its job file" in same_seed_lines([Outcome(own, "generated", forced)])[0]
    without = replace(output, parameters=output.parameters - {"seed"})
    assert same_seed_lines([Outcome(without, "generated", forced)]) == []


def test_nothing_that_a_backend_says_steers_the_terminal(output: Output) -> None:
    evil = "\x1b[2J\x1b]0;title\x07 \u202egnp.exe\r"
    reported = [*failures([Outcome(output, "failed", problem=Problem("", evil, evil))])]
    reported.append(outcome_line(Outcome(output, "kept", note=evil)))
    for text in reported:
        assert printable(text) == text
        assert not set("\x1b\x07\r\u202e") & set(text)
        assert "\\x1b[2J" in text


def test_no_cell_of_a_table_steers_the_terminal() -> None:
    assert table([("a\x1b[2J", "\x9b31m")]) == ["a\\x1b[2J  \\x9b31m"]


def test_columns_line_up() -> None:
    assert table([("a", "b", "c"), ("aaa", "", "long text")]) == ["a    b  c", "aaa     long text"]
