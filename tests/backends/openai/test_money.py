"""Runs that cost something: nothing is paid for twice, nothing is lost silently, and no budget is passed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from imagegen.backends.base import Cancelled, MayBePaidError, Progress
from imagegen.backends.openai import OpenAIBackend
from imagegen.config.schema import AXIS_FIELDS
from imagegen.errors import ImagegenError, Problem
from imagegen.execute.events import Outcome, ProgressEvent
from imagegen.execute.one_off import plan_images
from imagegen.execute.worker import ImageProgress
from imagegen.plan.request import Request
from tests.backends.openai.fake_openai import FakeOpenAI, Fault, failing, until
from tests.backends.openai.project import CENTS, ONE, OpenAIProject, error


def waits(project: OpenAIProject) -> list[str]:
    """Return what the last build said it waited for."""
    events = [one for one in project.events if isinstance(one, ProgressEvent) and one.name == "waiting"]
    return [text for one in events if (text := str(one.facts["text"]))]


def progress(
    cancel: threading.Event, on_event: Callable[[str, dict[str, Any]], None] = lambda *_: None
) -> ImageProgress:
    return ImageProgress(600, cancel, on_event=on_event)


RATE = error("Rate limit exceeded for images per minute. Limit: 5/1min.", "rate_limit_exceeded", "requests")
LATER = [
    failing(429, RATE, retry_after_ms="20"),
    failing(429, RATE, retry_after="0.02"),
    failing(429, RATE, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"),
    failing(429, RATE, retry_after="1", retry_after_ms="5"),
    failing(503, error("The server is overloaded", None, "server_error"), retry_after="0"),
    failing(429, RATE),
]


@pytest.mark.parametrize("fault", LATER, ids=["ms", "seconds", "date", "both", "503", "nothing"])
def test_a_server_that_says_later_is_asked_again_and_paid_once(
    project: OpenAIProject, fake: FakeOpenAI, fault: Fault
) -> None:
    fake.faults.append(replace(fault))
    project.job(items=ONE)
    assert project.build() == {"portraits:fox": "generated"}, project.report
    assert (len(fake.bodies), fake.prompts) == (2, ["a fox"])
    assert fake.connections == 3, "each request for an image has its own, which the server does not end meanwhile"
    assert waits(project) or fault in LATER[2:5], "nothing was shown of it"


def test_a_server_that_always_says_later_is_given_up_in_the_end(project: OpenAIProject, fake: FakeOpenAI) -> None:
    fake.faults.append(failing(429, RATE, times=None, retry_after_ms="1"))
    project.job(items=ONE)
    assert project.build() == {"portraits:fox": "failed"}
    assert "Rate limit exceeded for images per minute" in project.report
    assert 2 <= len(fake.bodies) <= 8
    assert fake.bill == 0


def test_nothing_is_waited_for_that_is_later_than_the_images_time(project: OpenAIProject, fake: FakeOpenAI) -> None:
    fake.faults.append(failing(429, RATE, times=None, retry_after="100"))
    project.job(items=[{**ONE[0], "timeout_s": 60}])
    assert project.build() == {"portraits:fox": "failed"}
    assert len(fake.bodies) <= 2
    assert "may have been" not in project.report, "nothing was paid for"


IN_VAIN = [
    (429, error("You exceeded your current quota.", "insufficient_quota", "insufficient_quota")),
    (400, error("Billing hard limit has been reached", "billing_hard_limit_reached")),
    (400, error("Rejected by the safety system.", "moderation_blocked", "image_generation_user_error")),
    (400, error("Your request was rejected.", "content_policy_violation")),
    (400, error("Unknown parameter: 'seed'.", "unknown_parameter", param="seed")),
    (403, error("Your organization must be verified to use the model.")),
    (404, error("The model 'gpt-image-9' does not exist.", "model_not_found")),
]


@pytest.mark.parametrize(
    ("status", "body"), IN_VAIN, ids=lambda one: one["error"]["code"] if isinstance(one, dict) else ""
)
def test_what_does_not_pass_is_said_and_not_asked_for_again(
    project: OpenAIProject, fake: FakeOpenAI, status: int, body: dict[str, Any]
) -> None:
    fake.faults.append(failing(status, body, times=None, retry_after_ms="1"))
    project.job(items=ONE)
    assert project.build() == {"portraits:fox": "failed"}
    assert len(fake.bodies) == 1
    assert body["error"]["message"].rstrip(".") in project.report
    assert "may have been" not in project.report, "nothing was paid for"


def prepare_later(project: OpenAIProject, ready: Callable[[], object]) -> None:
    """Write a second job with the same image, which is prepared once `ready` holds."""

    class PreparesLater(OpenAIBackend):
        def prepare(self, requests: Sequence[Request], progress: Progress) -> Sequence[Problem]:
            if requests[0].name == "later":
                until(ready)
            return super().prepare(requests, progress)

    project.backends = {"openai": PreparesLater}
    project.job(items=ONE)
    project.job("others", items=[{**ONE[0], "name": "later"}])


def test_a_refused_image_leaves_its_price_to_others(project: OpenAIProject, fake: FakeOpenAI) -> None:
    prepare_later(project, lambda: any(isinstance(one, Outcome) for one in project.events))
    fake.faults.append(failing(*IN_VAIN[2]))
    project.budget("0.006")
    assert project.build() == {"portraits:fox": "failed", "others:later": "generated"}
    assert fake.bill == CENTS


LOST = [
    Fault(loses="answer", times=None),
    Fault(loses="reset", times=None),
    Fault(loses="head", times=None),
    Fault(loses="body", times=None),
    failing(502, "<html>Bad Gateway", makes=True, times=None),
    failing(504, error("upstream timed out"), makes=True, times=None),
]


@pytest.mark.parametrize("fault", LOST, ids=["no answer", "reset", "head", "body", "502", "504"])
def test_a_lost_answer_is_said_counted_and_not_asked_for_again_in_that_run(
    project: OpenAIProject, fake: FakeOpenAI, fault: Fault
) -> None:
    fake.faults.append(replace(fault))
    project.job(items=ONE)
    assert project.build() == {"portraits:fox": "failed"}
    assert "may have been" in project.report, project.report
    assert (len(fake.bodies), fake.bill) == (1, CENTS)
    fake.recover()
    assert project.build() == {"portraits:fox": "generated"}
    assert (len(fake.bodies), fake.bill) == (2, 2 * CENTS)
    assert project.build() == {}


def test_a_lost_image_is_not_requested_for_another_job_of_that_run(project: OpenAIProject, fake: FakeOpenAI) -> None:
    prepare_later(project, lambda: fake.bodies)
    fake.faults.append(Fault(loses="answer"))
    assert project.build() == {"portraits:fox": "failed", "others:later": "failed"}
    assert (len(fake.bodies), fake.bill) == (1, CENTS)
    assert set(project.build().values()) == {"generated", "restored"}
    assert fake.bill == 2 * CENTS


def test_a_lost_answer_counts_for_the_budget(project: OpenAIProject, fake: FakeOpenAI) -> None:
    fake.faults.append(Fault(loses="answer"))
    project.budget("0.013")
    project.job()
    assert sorted(project.build().values()) == ["failed"] * 4 + ["generated"]
    assert fake.bill == 2 * CENTS


@pytest.mark.parametrize("how", ["time is over", "cancelled"])
def test_what_is_given_up_once_it_is_asked_for_may_be_paid(project: OpenAIProject, fake: FakeOpenAI, how: str) -> None:
    fake.faults.append(Fault(gate=threading.Event()))
    project.job(items=ONE)
    (output,) = project.outputs().values()
    cancel = threading.Event()
    giving_up = progress(cancel)

    def give_up() -> None:
        fake.wait_made()
        if how == "cancelled":
            cancel.set()
        else:
            giving_up.timeout_s = 0.0

    threading.Thread(target=give_up, daemon=True).start()
    with pytest.raises(MayBePaidError):
        project.project().backends["openai"].generate(output.request, giving_up)
    assert len(fake.bodies) == 1


def test_a_server_that_is_not_there_costs_nothing(project: OpenAIProject, fake: FakeOpenAI) -> None:
    fake.__exit__(None, None, None)
    project.job(items=ONE)
    assert project.build() == {"portraits:fox": "failed"}
    assert "may have been" not in project.report, project.report


@pytest.mark.parametrize("together", [1, 3])
def test_no_budget_is_passed_however_many_are_in_flight(
    project: OpenAIProject, fake: FakeOpenAI, together: int
) -> None:
    project.budget("0.02")
    fake.together = together
    project.job()
    assert sorted(project.build().values()) == ["failed"] * 2 + ["generated"] * 3
    assert fake.bill == Decimal("0.018")
    assert "budget" in project.report
    fake.together = 1
    project.budget("0.012")
    assert sorted(project.build().values()) == ["generated"] * 2, project.report
    assert fake.bill == Decimal("0.030")
    assert fake.prompts == sorted({*fake.prompts})


def test_a_few_images_are_generated_at_a_time(project: OpenAIProject, fake: FakeOpenAI) -> None:
    fake.together = 4
    project.job(items=[{"name": f"n{number}", "prompt": f"number {number}"} for number in range(6)])
    assert set(project.build().values()) == {"generated"}, project.report
    assert fake.most_at_once == 4


UNPRICED: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({}, {}),
    ({"gpt-image-1-mini": "0.005", "gpt-image-2 medium": "0.053"}, {}),
    ({"gpt-image-2 low": "0.006"}, {"model": "gpt-image-2"}),
]


@pytest.mark.parametrize(("prices", "section"), UNPRICED)
def test_an_image_of_unknown_price_is_refused_while_there_is_a_budget(
    project: OpenAIProject, fake: FakeOpenAI, prices: dict[str, str], section: dict[str, Any]
) -> None:
    project.budget("5", prices=prices)
    project.job(items=ONE, openai=section or project.base_job["openai"])
    assert project.build() == {"portraits:fox": "failed"}
    assert "prices" in project.report, project.report
    assert fake.bodies == []
    project.settings_file(prices=prices, dialect="hosted")
    assert project.build() == {"portraits:fox": "generated"}


def test_the_most_specific_price_counts(project: OpenAIProject, fake: FakeOpenAI) -> None:
    prices = {"gpt-image-2": "1", "gpt-image-2 low": "2", "gpt-image-2 low 1024x640": "0.006", "gpt-image-2 high": "3"}
    project.budget("0.01", prices=prices)
    project.job(items=ONE)
    assert project.build() == {"portraits:fox": "generated"}, project.report
    project.job(items=[{"name": "owl", "prompt": "an owl", "height": 1024}])
    assert project.build()["portraits:owl"] == "failed"
    assert fake.prompts == ["a fox"]


def test_what_is_restored_costs_nothing(project: OpenAIProject, fake: FakeOpenAI) -> None:
    project.job()
    project.build()
    before = project.image("fox").read_bytes()
    for name in ("fox", "owl"):
        project.image(name).unlink()
    project.budget("0.001")
    assert set(project.build().values()) == {"restored"}, project.report
    assert project.image("fox").read_bytes() == before
    assert len(fake.bodies) == 5


def test_one_request_in_two_jobs_is_paid_once(project: OpenAIProject, fake: FakeOpenAI) -> None:
    project.job(items=ONE)
    project.job("others", items=ONE)
    assert len(project.build()) == 2
    assert fake.prompts == ["a fox"]


def test_variants_that_would_be_copies_of_one_image_are_refused(project: OpenAIProject, fake: FakeOpenAI) -> None:
    project.job(items=ONE, variants=2)
    (plan,) = project.project().plans()
    (problem,) = plan.problems
    assert problem.where.startswith("jobs/portraits.yaml:")
    assert "doit -a" in problem.hint
    assert fake.asked == []


@pytest.mark.parametrize(("prompt", "count"), [("a fox", 1), ("a fox", 2), ("a {red|grey|white|black} fox", 2)])
def test_several_one_off_images_that_would_be_copies_are_refused(
    project: OpenAIProject, prompt: str, count: int
) -> None:
    names = ("like", "name", "negative", "save", "format", "out", *AXIS_FIELDS)
    options = {**dict.fromkeys(names), "backend": "openai", "model": "gpt-image-2", "count": count, "seed": 2}
    try:
        images, _ = plan_images(project.project(), [prompt], options, "assets/images")
    except ImagegenError as error:
        assert (prompt, count) == ("a fox", 2)
        assert "takes no seed" in str(error)
    else:
        assert len({one.output.fingerprint for one in images}) == count


def test_another_image_is_paid_for_only_where_it_is_asked_for(project: OpenAIProject, fake: FakeOpenAI) -> None:
    project.job(items=ONE)
    project.build()
    before = project.image("fox").read_bytes()
    with pytest.raises(ImagegenError, match="takes none"):
        project.reroll("portraits:fox")
    assert project.build("portraits:fox", forced=True) == {"portraits:fox": "generated"}, project.report
    assert project.image("fox").read_bytes() != before
    assert fake.bill == 2 * CENTS
    project.restore("portraits:fox")
    assert project.image("fox").read_bytes() == before
    assert project.build() == {}
    assert fake.bill == 2 * CENTS


def test_what_is_cancelled_before_it_is_asked_for_costs_nothing(project: OpenAIProject, fake: FakeOpenAI) -> None:
    project.job(items=ONE)
    (output,) = project.outputs().values()
    cancel = threading.Event()
    cancel.set()
    backend = project.project().backends["openai"]
    with pytest.raises(Cancelled):
        backend.generate(output.request, progress(cancel))
    assert fake.bodies == []
    cancel.clear()
    fake.faults.append(failing(429, RATE, retry_after="100"))
    with pytest.raises(Cancelled) as caught:  # while it waits
        backend.generate(output.request, progress(cancel, lambda name, _: cancel.set() if name == "waiting" else None))
    assert not caught.value.may_be_paid
    assert (len(fake.bodies), fake.bill) == (1, Decimal(0))


def test_a_server_of_ones_own_is_no_matter_of_money(project: OpenAIProject, fake: FakeOpenAI) -> None:
    with FakeOpenAI("sdcpp") as own:
        section = {"server": {"url": own.url}, "dialect": "sdcpp"}
        project.job("own", items=project.base_job["items"][:3], generate={"width": 64, "height": 64}, openai=section)
        project.job()
        fake.together = 2
        project.budget("0.012")
        states = project.build()
        assert [states.pop(f"own:{name}") for name in ("fox", "owl", "bee")] == ["generated"] * 3, project.report
        assert own.most_at_once == 1
        assert {asked.authorization for asked in own.asked} == {None}
    assert sorted(states.values()) == ["failed"] * 3 + ["generated"] * 2
    assert fake.bill == Decimal("0.012")
