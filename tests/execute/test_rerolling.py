from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from imagegen.backends.scripted import Script, ScriptedBackend
from imagegen.errors import ImagegenError
from tests.execute.workshop import JOB, Workshop


def made(workshop: Workshop, **changes: Any) -> None:
    workshop.job(**changes)
    assert set(workshop.build().values()) == {"generated"}


@pytest.mark.parametrize("rule", [1, {"mode": "random"}, {"mode": "sequence", "base": 4}, {"mode": "fixed", "base": 4}])
def test_a_reroll_is_stronger_than_the_jobs_rule_and_stays(workshop: Workshop, rule: Any) -> None:
    made(workshop, generate={"width": 32, "height": 32, "seed": rule})
    before = workshop.path("yrr").read_bytes()
    seed = workshop.reroll("portraits:yrr")
    assert 1 <= seed < 2**32
    assert workshop.states() == {"portraits:mallsing": "fresh", "portraits:yrr": "stale"}
    assert workshop.build() == {"portraits:yrr": "generated"}
    assert workshop.outputs()["portraits:yrr"].request.seed == seed
    assert workshop.path("yrr").read_bytes() != before
    assert workshop.build() == {}
    assert workshop.is_kept(before)


def test_a_variant_is_rerolled_by_its_own_name_also_while_it_is_picked(workshop: Workshop) -> None:
    made(workshop, variants=2)
    workshop.pick("yrr", 2)
    seed = workshop.reroll("portraits:yrr")
    assert workshop.build() == {"portraits:yrr": "generated"}
    workshop.pick("yrr", 0)
    assert workshop.outputs()["portraits:yrr-v2"].request.seed == seed
    assert set(workshop.states().values()) == {"fresh"}


def test_an_item_with_a_seed_of_its_own_is_refused_and_nothing_is_decided(workshop: Workshop) -> None:
    made(workshop, items=[*JOB["items"], {"name": "Okka", "prompt": "a broad figure", "seed": 5}])
    lock = workshop.lock()
    with pytest.raises(ImagegenError, match="take its 'seed' out of the job file"):
        workshop.reroll("portraits:okka")
    assert workshop.lock() == lock


def test_an_edited_image_is_not_rerolled(workshop: Workshop) -> None:
    made(workshop)
    workshop.touch_up("yrr")
    lock = workshop.lock()
    with pytest.raises(ImagegenError, match="changed by hand since it was made"):
        workshop.reroll("portraits:yrr")
    assert workshop.lock() == lock


def test_where_its_image_cannot_be_made_the_earlier_one_stays_and_the_next_build_makes_it(workshop: Workshop) -> None:
    made(workshop)
    before = workshop.path("yrr").read_bytes()
    workshop.reroll("portraits:yrr")
    workshop.backend = ScriptedBackend(Script(acts={"Yrr": [{"error": "out of memory"}, {}]}))
    assert workshop.build() == {"portraits:yrr": "failed"}
    assert workshop.path("yrr").read_bytes() == before
    assert workshop.build() == {"portraits:yrr": "generated"}


def test_an_own_seed_in_the_job_goes_before_a_reroll(workshop: Workshop) -> None:
    made(workshop)
    workshop.reroll("portraits:yrr")
    workshop.job(items=[JOB["items"][0], JOB["items"][1] | {"seed": 5}])
    assert workshop.outputs()["portraits:yrr"].request.seed == 5


def test_a_clone_has_the_seed_too(workshop: Workshop, tmp_path: Path) -> None:
    made(workshop)
    workshop.reroll("portraits:yrr")
    workshop.build()
    shutil.copytree(workshop.root, tmp_path / "clone", ignore=shutil.ignore_patterns(".imagegen"))
    assert set(Workshop(tmp_path / "clone").states().values()) == {"fresh"}


def test_what_is_derived_has_no_seed(workshop: Workshop) -> None:
    workshop.job(derive={"thumb": {"width": 16}})
    with pytest.raises(ImagegenError, match="it is derived from portraits:yrr, and has no seed"):
        workshop.reroll("portraits:yrr:thumb")
