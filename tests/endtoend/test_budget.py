"""Images that cost money, with the real doit: what they would cost, did cost, and may have cost in vain."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.project_folder import JOB, ProjectFolder, press_ctrl_c

PRICES = {"*": "0.04", "Okka": "0"}


@pytest.fixture
def priced(project: ProjectFolder) -> ProjectFolder:
    project.job()
    project.script(prices=PRICES)
    return project


def wait_until(happened: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def budget(project: ProjectFolder, dollars: str) -> None:
    project.write("pyproject.toml", f"[tool.imagegen]\nbudget = {dollars}\n")


@pytest.mark.long
def test_why_says_what_the_next_run_would_cost_and_the_run_what_it_did(priced: ProjectFolder) -> None:
    assert priced.doit("why").closing == "3 to generate (time unknown; cost $0.08)"
    detail = priced.doit("why", "portraits:yrr", "portraits:okka").out.splitlines()
    assert detail[0].endswith("yrr.png  time unknown, $0.04  (new)")
    assert detail[1].endswith("okka.png  time unknown  (new)")
    assert priced.doit("why", "budget=0.08").closing == "the budget of $0.08 is enough"
    assert priced.doit("why", "budget=0.07").closing == (
        "the budget of $0.07 is enough for 1 of the 2 images that cost something"
    )
    priced.script(prices={**PRICES, "Yrr": "0"})
    too_little = "the budget of $0.01 is not enough for the image that costs something; "
    assert priced.doit("why", "budget=0.01").closing.startswith(too_little)
    priced.script(prices=PRICES)
    run = priced.doit()
    assert run.closing.startswith("3 generated, cost $0.08 (")
    assert priced.doit().closing.startswith("3 fresh, nothing to do (")
    assert priced.doit("why", "budget=0.07").out == "3 fresh, nothing to do\n"


def test_the_data_have_prices(priced: ProjectFolder) -> None:
    priced.script(prices={"*": "0.04", "Okka": "0", "Yrr": None})
    found = priced.doit("why", "--json", "budget=0.1").result
    assert {one["task"].partition(":")[2]: one["price"] for one in found["images"]} == {
        "mallsing": 0.04,
        "yrr": None,
        "okka": 0.0,
    }
    total = found["total"]
    assert (total["price"], total["unpriced"], total["budget"]) == (0.04, 1, 0.1)
    assert (total["is_budget_enough"], total["affordable"], total["refused_jobs"]) == (False, 0, ["portraits"])
    why = priced.doit("why", "budget=0.10").out.splitlines()
    assert why[-2:] == [
        "3 to generate (time unknown; cost $0.04 and 1 image of unknown price)",
        "the budget of $0.10 is not enough for any of the 2 images that cost something; "
        "jobs with an image of unknown or higher price are not built: portraits",
    ]


def test_a_run_stops_before_its_budget_is_passed_and_the_next_continues(priced: ProjectFolder) -> None:
    budget(priced, "0.05")
    run = priced.doit()
    assert run.code != 0
    assert (len(run.tasks("generated")), len(run.tasks("failed"))) == (2, 1)
    (failed,) = run.tasks("failed")
    assert (
        f"{failed}: not generated, to stay within the budget of $0.05: $0.04 is spent, and {failed} costs $0.04\n"
        "    run doit again, which may spend as much; or raise 'budget' (or budget=… for one run)\n"
    ) in run.out
    assert run.closing.startswith("2 generated, 1 failed, cost $0.04 (")
    run = priced.doit()
    assert run.tasks("generated") == [failed], "each run has its own budget"
    assert run.closing.startswith("1 generated, 2 fresh, cost $0.04 (")


def test_an_image_dearer_than_the_budget_holds_up_its_own_job_only(priced: ProjectFolder) -> None:
    priced.script(prices={"*": "0.04", "Yrr": "0.40"})
    priced.job("others", items=[{"name": name, "prompt": name} for name in ("Mallsing", "Okka")])
    why = priced.doit("why", "budget=0.10").closing
    assert why == (
        "the budget of $0.10 is enough for 2 of the 5 images that cost something; "
        "jobs with an image of unknown or higher price are not built: portraits"
    )
    run = priced.doit("budget=0.10")
    assert run.tasks("generated") == ["others:mallsing", "others:okka"]
    assert (
        "portraits:yrr: costs $0.40, more than the whole budget of $0.10\n    raise 'budget' (or budget=… for one run)\n"
    ) in run.out
    assert "costs $0.40, more than the whole budget of $0.10" in priced.doit("doctor", "budget=0.10").out


def test_an_image_of_unknown_price_needs_a_price_or_no_budget(priced: ProjectFolder) -> None:
    priced.script(prices={"*": None})
    budget(priced, "5")
    run = priced.doit()
    assert "there is a budget, and what an image of colours costs is not known\n    lift the budget" in run.out
    assert priced.calls("started") == []
    doctor = priced.doit("doctor")
    assert doctor.out.count("there is a budget, and what an image of colours costs is not known") == 1
    assert "costs is not known" not in priced.doit("doctor", "budget=none").out
    budget(priced, "'none'")
    note = "what an image of colours costs is not known, and there is no budget: with 'budget', none is generated"
    assert priced.doit("why").closing == note
    run = priced.doit()
    assert run.out.count(note) == 1
    assert run.closing.startswith("3 generated, cost unknown (")
    assert "is not known" not in priced.doit("why").out


def test_a_reroll_of_a_job_says_what_it_costs_before_it_asks(priced: ProjectFolder) -> None:
    priced.build_job()
    out = priced.doit("reroll", "portraits").out
    assert out.startswith("3 images get a new seed and are generated again (under 1 s; cost $0.08)\n")
    assert "cost $0.04" in priced.doit("reroll", "portraits:yrr").out.splitlines()


def test_one_off_images_cost_the_same(priced: ProjectFolder) -> None:
    image = ["image", "--prompt", "a raven", "--backend", "placeholder"]
    assert "cost" not in priced.doit(*image).out
    plugin = """
from decimal import Decimal
from tests.scripted import ScriptedBackend
ScriptedBackend.price = lambda self, request: Decimal("0.04")
"""
    priced.write("priced.py", plugin)
    priced.write("dodo.py", "import priced  # noqa: F401\nfrom imagegen.tasks import *\n")
    image = ["image", "--prompt", "a crow", "--backend", "scripted"]
    run = priced.doit(*image, "--count", "2", "budget=0.05")
    assert run.code == 1
    assert "to stay within the budget of $0.05: $0.04 is spent, and image:a-crow-" in run.out
    assert run.closing == "cost $0.04"


def test_with_several_processes_a_budget_is_refused_and_never_multiplied(priced: ProjectFolder) -> None:
    # a reporter of doit's own leaves it to each process to build its images
    run = priced.doit("-n", "2", "-r", "zero", "budget=0.04")
    assert run.code != 0
    assert priced.calls("finished") == ["Okka"]


def test_what_was_paid_for_and_cannot_be_used_is_said_beforehand(priced: ProjectFolder) -> None:
    priced.script(prices=PRICES, acts={"Yrr": [{"cut": 10}]})
    run = priced.doit("portraits:yrr")
    assert "portraits:yrr: verify: what scripted returned was paid for, and cannot be used" in run.out
    assert run.closing.startswith("1 failed, cost $0.04 (")
    why = priced.doit("why", "portraits:yrr").out.splitlines()
    assert why[0].startswith(
        "fail      portraits:yrr  assets/portraits/yrr.png: not built, because it was paid for already, and is kept in .imagegen/"
    )
    assert why[1:] == [
        "    look at it: to use it, put it at assets/portraits/yrr.png and run doit accept portraits:yrr; "
        "to pay for another image, delete it and run doit again",
        "1 to fail",
    ]
    assert "cost" not in priced.doit("portraits:yrr").out


needs_sigkill = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL")


@needs_sigkill
def test_after_a_kill_between_request_and_answer_the_next_run_says_that_it_may_have_been_paid_for(
    priced: ProjectFolder,
) -> None:
    priced.script(prices=PRICES, acts={"Yrr": [{"kill": True}]})
    process = priced.start("portraits:yrr", "portraits:okka")
    process.communicate(timeout=priced.patience_s)
    assert process.returncode == -signal.SIGKILL
    priced.script(prices=PRICES)
    why = priced.doit("why").out.splitlines()
    (head,) = (index for index, line in enumerate(why) if line.startswith("generate  portraits:yrr"))
    assert why[head + 1] == "    may have been paid for once already: an earlier run ended before it arrived"
    found = priced.doit("why", "--json").result["images"]
    assert [one["task"] for one in found if one["may_have_been_paid"]] == ["portraits:yrr"]
    run = priced.doit()
    note = "portraits:yrr: may have been paid for once already: an earlier run ended before it arrived"
    assert run.out.splitlines().count(note) == 1
    assert run.out.count("may have been paid for once") == 1
    assert "cost $0.08, 1 image may have been paid for without arriving (" in run.closing
    assert "may have" not in priced.doit("-a").out


@needs_sigkill
def test_a_kill_once_the_image_is_in_the_store_costs_nothing_more(priced: ProjectFolder) -> None:
    source = Path(__file__).with_name("faults.py").read_text()
    priced.write("faults.py", source)
    priced.write("dodo.py", "import faults  # noqa: F401\nfrom imagegen.tasks import *\n")
    priced.job(items=JOB["items"][:1])
    process = priced.start(FAULT_ON="write jobs/portraits.lock")
    process.communicate(timeout=priced.patience_s)
    assert process.returncode == -signal.SIGKILL
    run = priced.doit()
    assert run.tasks("restored") == ["portraits:mallsing"]
    assert "cost" not in run.out
    assert priced.calls("started") == ["Mallsing"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_ctrl_c_twice_says_that_the_image_may_have_been_paid_for(priced: ProjectFolder) -> None:
    priced.script(prices=PRICES, acts={"Yrr": [{"hang": True}]})
    process = priced.start("portraits:yrr")
    wait_until(lambda: priced.calls("started"))
    pressed = press_ctrl_c(process)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=priced.patience_s)
    assert "may have been paid for, though it never arrived" in pressed + out
    closing = out.strip().splitlines()[-1]
    assert closing.startswith("1 not built, cost up to $0.04, 1 image may have been paid for without arriving (")


def test_a_reroll_that_the_budget_does_not_cover_changes_nothing(priced: ProjectFolder) -> None:
    priced.doit()
    before = priced.lines()
    run = priced.doit("reroll", "portraits:yrr", "budget=0.03")
    assert (run.code, priced.lines()) == (3, before)
    assert run.out.startswith("nothing was rerolled: cost $0.04, and the budget is $0.03\n    raise 'budget'")
    assert priced.doit("why", "--check").code == 0
