from __future__ import annotations

from imagegen.config.encoding import Encoding
from imagegen.plan.durations import Durations, Expected, in_all
from imagegen.plan.record import OutputLine
from imagegen.plan.request import Request


def line(seconds: float, width: int = 64, model: str = "m") -> OutputLine:
    fields = {"backend": "b", "model": model, "width": width, "height": 64}
    return OutputLine("p", "o", "f", Encoding(), fields, "s", 1, None, "1", seconds, "t")


def request(width: int = 64, model: str = "m") -> Request:
    return Request("b", "n", "p", width=width, height=64, model=model)


def test_the_median_of_the_same_backend_model_and_size() -> None:
    known = Durations([line(1), line(2), line(30), line(500, width=128), line(9, model="other")])
    assert known.of(request()) == 2
    assert known.of(request(model="other")) == 9


def test_another_size_is_scaled_from_the_nearest() -> None:
    assert Durations([line(2), line(100, width=1024)]).of(request(128)) == 4


def test_each_workflow_has_times_of_its_own() -> None:
    mine = {"backend": "b", "model": "m", "workflow": "abc"}
    known = Durations([line(1000), OutputLine("p", "o", "f", Encoding(), mine, "s", 1, None, "1", 1.6, "t")])
    assert known.of(Request("b", "n", "p", model="m", extra={"workflow": "abc"})) == 1.6
    assert known.of(Request("b", "n", "p", model="m", extra={"workflow": "other"})) is None
    assert known.of(request()) == 1000


def test_what_was_never_made_is_unknown() -> None:
    assert Durations([line(2)]).of(request(model="new")) is None
    assert Durations([]).of(request()) is None


def test_images_of_one_backend_wait_for_each_other_and_backends_do_not() -> None:
    queued, beside = Expected(10, "a", 1), Expected(4, "b", 2)
    assert in_all([queued] * 3) == 30
    assert in_all([beside] * 3) == 6
    assert in_all([beside]) == 4, "no image is done before its time"
    assert in_all([*[queued] * 3, *[beside] * 3, Expected(None, "c")]) == 30
    assert in_all([]) == 0
