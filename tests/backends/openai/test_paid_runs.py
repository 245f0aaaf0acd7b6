"""Whole runs of doit that cost something: what they say of it, and what they leave when they are stopped."""

from __future__ import annotations

import re
import signal
import threading
from decimal import Decimal

import pytest

from tests.backends.openai.fake_openai import FakeOpenAI, Fault
from tests.backends.openai.project import ONE, OpenAIProject
from tests.project_folder import press_ctrl_c


def dollars(text: str) -> list[str]:
    return re.findall(r"\$[0-9.]*[0-9]", text)


def test_why_says_what_a_run_would_cost_and_the_run_what_it_did(project: OpenAIProject, fake: FakeOpenAI) -> None:
    project.job(items=project.base_job["items"][:3])
    why = project.doit("why")
    assert "$0.018" in dollars(why.out), why.out
    assert fake.asked == []
    first = project.doit("budget=0.012")
    assert first.code != 0
    assert len(first.tasks("generated")) == 2, first.out
    assert "$0.012" in dollars(first.closing), first.out
    assert "budget" in first.out
    assert fake.bill == Decimal("0.012")
    second = project.doit()
    assert (second.code, len(second.tasks("generated"))) == (0, 1), second.out
    assert dollars(second.closing) == ["$0.006"], second.out
    third = project.doit()
    assert third.out.startswith("3 fresh")
    assert dollars(third.out) == []


def test_after_a_kill_the_next_run_says_of_each_image_that_it_may_have_been_paid_for(
    project: OpenAIProject, fake: FakeOpenAI
) -> None:
    fake.faults.append(Fault(gate=threading.Event(), times=None))
    project.job(items=[*ONE, {"name": "owl", "prompt": "an owl"}])
    process = project.start()
    fake.wait_made(2)
    process.kill()
    process.communicate()
    fake.recover()
    run = project.doit()
    assert (run.code, run.tasks("generated")) == (0, ["portraits:fox", "portraits:owl"]), run.out
    for name in ("fox", "owl"):
        assert f"portraits:{name}: may have been paid for once already" in run.out
    assert fake.bill == Decimal("0.024")
    assert dollars(run.closing) == ["$0.012"]
    assert project.doit().out.startswith("2 fresh")
    assert len(fake.bodies) == 4


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_waits_for_what_is_paid_and_pressed_twice_says_that_it_may_have_been(
    project: OpenAIProject, fake: FakeOpenAI, presses: int
) -> None:
    gate = threading.Event()
    fake.faults.append(Fault(gate=gate))
    project.job()
    process = project.start("portraits:fox")
    fake.wait_made()
    press_ctrl_c(process)
    if presses == 2:
        process.send_signal(signal.SIGINT)
    else:
        gate.set()
    out, err = process.communicate(timeout=project.patience_s)
    assert process.returncode == 130, out
    assert "Traceback" not in out + err
    assert ("may have been" in out) is (presses == 2), out
    assert project.image("fox").exists() is (presses == 1)
    assert (len(fake.bodies), fake.bill) == (1, Decimal("0.006"))
