from __future__ import annotations

import shutil
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagegen.backends.scripted import Script, ScriptedBackend
from imagegen.errors import ImagegenError
from imagegen.images import provenance
from tests.execute.workshop import JOB, Workshop

YRR = "portraits:yrr"


def job(workshop: Workshop, prompt: str = "a small figure", **changes: Any) -> None:
    workshop.job(items=[JOB["items"][0], {"name": "Yrr", "prompt": prompt}], **changes)


def made(workshop: Workshop, prompt: str = "a small figure", **changes: Any) -> bytes:
    job(workshop, prompt, **changes)
    workshop.build()
    return workshop.path("yrr").read_bytes()


def test_a_reroll_is_gone_back_on_with_its_seed_and_leaves_the_rule_in_force(workshop: Workshop) -> None:
    before = made(workshop)
    seed = workshop.outputs()[YRR].request.seed
    workshop.reroll(YRR)
    workshop.build()
    assert workshop.go_back(YRR) == f"with its seed {seed}"
    assert workshop.path("yrr").read_bytes() == before
    assert workshop.build() == {}
    job(workshop, generate={"width": 32, "height": 32, "seed": 2})
    assert workshop.outputs()[YRR].request.seed != seed


def test_of_two_rerolls_the_earlier_ones_seed_is_decided(workshop: Workshop) -> None:
    made(workshop)
    first = workshop.reroll(YRR)
    workshop.build()
    image = workshop.path("yrr").read_bytes()
    workshop.reroll(YRR)
    workshop.build()
    workshop.go_back(YRR)
    assert workshop.path("yrr").read_bytes() == image
    assert workshop.outputs()[YRR].request.seed == first
    assert workshop.build() == {}


def test_an_image_of_another_prompt_stays_until_its_request_changes(workshop: Workshop) -> None:
    before = made(workshop)
    made(workshop, "another figure")
    assert workshop.go_back(YRR) == "accepted until its request changes"
    assert workshop.path("yrr").read_bytes() == before
    record = provenance.read(before)
    assert record is not None
    assert record["request"]["prompt"] == "a small figure"
    assert (workshop.build(), workshop.note(YRR)) == ({}, "accepted as it is: prompt changed")
    job(workshop, "a third figure")
    assert workshop.build() == {YRR: "generated"}
    job(workshop, "another figure")
    assert workshop.build() == {YRR: "restored"}
    assert workshop.path("yrr").read_bytes() == before


def test_another_take_of_the_same_request(workshop: Workshop) -> None:
    workshop.backend = ScriptedBackend(Script(acts={"Yrr": [{"format": "png"}, {"format": "webp"}]}))
    first = made(workshop)
    workshop.build(YRR, forced=True)
    assert workshop.path("yrr").read_bytes() != first
    assert workshop.go_back(YRR) == ""
    for _ in range(2):
        assert workshop.path("yrr").read_bytes() == first
        assert workshop.states()[YRR] == "fresh"
        # deleted, it is that one which comes back
        workshop.path("yrr").unlink()
        assert workshop.build() == {YRR: "restored"}
    assert workshop.calls() == 3


def test_the_list_has_all_numbered_by_age_with_what_differs(workshop: Workshop) -> None:
    made(workshop)
    made(workshop, "another figure")
    workshop.reroll(YRR)
    workshop.build()
    pasts = workshop.history(YRR)
    assert [past.is_now for past in pasts] == [True, False, False]
    said = [sorted(str(reason).split()[0] for reason in past.reasons) for past in pasts]
    assert said == [[], ["seed"], ["prompt", "seed"]]
    workshop.go_back(YRR, 3)
    assert [past.time for past in workshop.history(YRR)] == [past.time for past in pasts]
    assert [past.is_now for past in workshop.history(YRR)] == [False, False, True]


def test_an_image_goes_by_its_variant_before_and_after_a_pick(workshop: Workshop) -> None:
    job(workshop, variants=2)
    workshop.build()
    first = workshop.path("yrr-v2").read_bytes()
    workshop.pick("yrr", 2)
    workshop.reroll(YRR)
    workshop.build()
    workshop.go_back(YRR)
    assert workshop.path("yrr").read_bytes() == first
    workshop.pick("yrr", 0)
    assert workshop.path("yrr-v2").read_bytes() == first
    assert set(workshop.states().values()) == {"fresh"}


def test_an_edit_that_was_not_accepted_is_not_replaced(workshop: Workshop) -> None:
    made(workshop)
    made(workshop, "another figure")
    mine = workshop.touch_up("yrr")
    lock = workshop.lock()
    with pytest.raises(ImagegenError, match="to keep it, so that it can be gone back to: doit accept"):
        workshop.go_back(YRR)
    assert (workshop.path("yrr").read_bytes(), workshop.lock()) == (mine, lock)


def test_in_a_clone_there_is_only_what_is_there(workshop: Workshop) -> None:
    made(workshop)
    shutil.rmtree(workshop.root / ".imagegen")
    (past,) = workshop.history(YRR)
    assert past.is_now
    made(workshop, "another figure")
    assert len(workshop.history(YRR)) == 2


def test_in_another_format_it_is_encoded_anew_with_its_own_provenance(workshop: Workshop) -> None:
    made(workshop)
    made(workshop, "another figure")
    job(workshop, "another figure", output={"format": "webp"})
    workshop.build()
    workshop.go_back(YRR, 2)
    record = provenance.read((workshop.root / "assets/portraits/yrr.webp").read_bytes())
    assert record is not None
    assert record["request"]["prompt"] == "a small figure"
    assert workshop.build() == {}


def test_what_the_store_has_no_more_is_not_offered(workshop: Workshop) -> None:
    made(workshop)
    made(workshop, "another figure")
    shutil.rmtree(workshop.root / ".imagegen/store/blobs")
    assert [past.is_now for past in workshop.history(YRR)] == [True]


STEPS = st.lists(st.sampled_from(["prompt", "reroll", "accept", "back"]), min_size=1, max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=5, deadline=None)
@given(STEPS)
def test_whatever_was_done_every_image_can_be_gone_back_to_and_stays(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    workshop = Workshop(tmp_path_factory.mktemp("back"))
    seen = [made(workshop, "figure 0")]
    for number, step in enumerate(steps, start=1):
        if step == "prompt":
            job(workshop, f"figure {number}")
        elif step == "reroll":
            workshop.reroll(YRR)
        elif step == "accept":
            workshop.touch_up("yrr", f"#{number:06x}")
            workshop.accept(YRR)
        elif len(workshop.history(YRR)) > 1:
            workshop.go_back(YRR, len(workshop.history(YRR)))
        workshop.build()
        seen.append(workshop.path("yrr").read_bytes())
    calls = workshop.calls()
    shown = set()
    for number in range(1, len(workshop.history(YRR)) + 1):
        if not workshop.history(YRR)[number - 1].is_now:
            workshop.go_back(YRR, number)
        assert workshop.build() == {}
        shown.add(workshop.path("yrr").read_bytes())
    assert set(seen) <= shown
    assert workshop.calls() == calls


def test_a_reroll_that_was_not_made_is_taken_back(workshop: Workshop) -> None:
    before = made(workshop)
    workshop.reroll(YRR)
    assert workshop.states()[YRR] == "stale"
    workshop.go_back(YRR)
    assert workshop.build() == {}
    assert workshop.path("yrr").read_bytes() == before
