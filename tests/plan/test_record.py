from __future__ import annotations

from dataclasses import replace
from typing import Any

from imagegen.config.job import Encoding
from imagegen.plan.output import Output
from imagegen.plan.record import (
    ACCEPT,
    MODEL,
    MOST_BEFORE,
    REROLL,
    Decision,
    Durations,
    Estimate,
    OutputLine,
    choose_decision,
    find_conflicting,
    times_before,
    total_seconds,
)
from imagegen.plan.request import Request, canonical_fields, fingerprint

__all__ = []


PARAMETERS = frozenset({"prompt", "seed"})


def decision(value: Any, time: str, after: tuple[str, ...] | None = (), kind: str = REROLL) -> Decision:
    return Decision(kind, "a", value, time, after)


def output(seed: int = 1, prompt: str = "a figure") -> Output:
    request = Request("comfyui", "A", prompt=prompt, seed=seed)
    fields = canonical_fields(request, PARAMETERS)
    return Output("j", "a", "a.png", request, PARAMETERS, Encoding(), "own", 600, fingerprint(fields))


def line_of(made: Output, sha256: str) -> OutputLine:
    return OutputLine(made.path, "a", made.fingerprint, made.encoding, made.fields, sha256, 9, None, "1", 0.5, "t")


def accept(sha256: str, of: Output, time: str) -> Decision:
    return decision({"sha256": sha256, "fingerprint": of.fingerprint}, time, kind=ACCEPT)


def test_what_was_replaced_is_no_rival_also_where_what_replaced_it_was_replaced() -> None:
    first, second = decision(1, "1"), decision(2, "2", ("1",))
    third = decision(3, "3", times_before([second]))
    assert third.after == ("1", "2")
    assert find_conflicting([first, third]) == [third]
    assert find_conflicting([third, first]) == [third], "a merge can put them in any order"
    assert find_conflicting([first, decision(9, "4")]) == [first, decision(9, "4")]


def test_lines_that_do_not_say_what_they_come_after_come_after_one_another() -> None:
    assert find_conflicting([decision(2, "2", None), decision(1, "1", None)]) == [decision(2, "2", None)]
    assert find_conflicting([decision(1, "1", None), decision(2, "2")]) == [decision(1, "1", None), decision(2, "2")]


def test_one_value_is_no_rival_of_itself_and_a_model_has_none() -> None:
    assert find_conflicting([decision(7, "1"), decision(7, "2")]) == [decision(7, "2")]
    assert find_conflicting([decision("x", "1", kind=MODEL), decision("y", "2", kind=MODEL)])[0].value == "y"


def test_no_more_than_so_many_are_remembered() -> None:
    last = decision(0, "000")
    for number in range(1, 200):
        last = decision(number, f"{number:03}", times_before([last]))
    assert last.after is not None
    assert (len(last.after), last.after[-1]) == (MOST_BEFORE, "198")


def test_the_one_whose_file_is_there_counts() -> None:
    ours, theirs = decision(1, "1"), decision(2, "2")
    planned = [[output(1)], [output(2)]]
    assert choose_decision([ours, theirs], planned, lambda _: ("aa", line_of(output(1), "aa"))) is ours
    assert choose_decision([ours, theirs], planned, lambda _: (None, None)) is theirs
    assert choose_decision([ours, theirs], [[], []], lambda _: ("aa", line_of(output(1), "aa"))) is theirs


def test_an_accepted_file_that_is_there_counts_more_than_that_nothing_is_accepted() -> None:
    present = output()
    accepted, nothing = accept("aa", present, "1"), replace(accept("", present, "2"), value=None)
    planned = [[present], [present]]
    drawn = line_of(present, "aa")
    assert choose_decision([accepted, nothing], planned, lambda _: ("aa", drawn)) is accepted
    assert choose_decision([accepted, nothing], planned, lambda _: ("bb", replace(drawn, sha256="bb"))) is nothing


def test_what_was_accepted_for_another_request_gives_way_to_what_fits() -> None:
    present, former = output(prompt="new"), output(prompt="old")
    fitting, other = accept("aa", present, "1"), accept("bb", former, "2")
    assert choose_decision([fitting, other], [[present], [present]], lambda _: ("bb", None)) is fitting


def line(seconds: float, width: int = 64, model: str = "m") -> OutputLine:
    fields = {"backend": "b", "model": model, "width": width, "height": 64}
    return OutputLine("p", "o", "f", Encoding(), fields, "s", 1, None, "1", seconds, "t")


def request(width: int = 64, model: str = "m") -> Request:
    return Request("b", "n", "p", width=width, height=64, model=model)


def test_the_median_of_the_same_backend_model_and_size() -> None:
    known = Durations([line(1), line(2), line(30), line(500, width=128), line(9, model="other")])
    assert known.estimate(request()) == 2
    assert known.estimate(request(model="other")) == 9


def test_another_size_is_scaled_from_the_nearest() -> None:
    assert Durations([line(2), line(100, width=1024)]).estimate(request(128)) == 4


def test_each_workflow_has_times_of_its_own() -> None:
    mine = {"backend": "b", "model": "m", "workflow": "abc"}
    known = Durations([line(1000), OutputLine("p", "o", "f", Encoding(), mine, "s", 1, None, "1", 1.6, "t")])
    assert known.estimate(Request("b", "n", "p", model="m", extra={"workflow": "abc"})) == 1.6
    assert known.estimate(Request("b", "n", "p", model="m", extra={"workflow": "other"})) is None
    assert known.estimate(request()) == 1000


def test_what_was_never_made_is_unknown() -> None:
    assert Durations([line(2)]).estimate(request(model="new")) is None
    assert Durations([]).estimate(request()) is None


def test_images_of_one_backend_wait_for_each_other_and_backends_do_not() -> None:
    queued, beside = Estimate(10, "a", 1), Estimate(4, "b", 2)
    assert total_seconds([queued] * 3) == 30
    assert total_seconds([beside] * 3) == 6
    assert total_seconds([beside]) == 4, "no image is done before its time"
    assert total_seconds([*[queued] * 3, *[beside] * 3, Estimate(None, "c")]) == 30
    assert total_seconds([]) == 0
