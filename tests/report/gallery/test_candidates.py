"""The variants that were not picked: the gallery's data have them, and its page, which is a file, does not."""

from __future__ import annotations

import shutil

from imagegen.execute.pick import CANDIDATES, pick
from tests.report.gallery.studio import PAGE, Studio, embedded


def picked(studio: Studio) -> dict[int, bytes]:
    """Pick the second of three variants, and return the files that they had."""
    studio.job(
        "takes", items=[{"name": "gate", "prompt": "a gate"}, {"name": "gate-v3", "prompt": "another"}], variants=3
    )
    studio.build()
    files = {number: studio.image(f"gate-v{number}", "takes").read_bytes() for number in (1, 2, 3)}
    pick(studio.opened()[0], "takes", "gate", 2)
    return files


def test_candidates_have_their_number_file_and_provenance(studio: Studio) -> None:
    files = picked(studio)
    gate = studio.pictures()["takes:gate"]
    assert (gate.item, gate.variant) == ("takes:gate", 2)
    assert [one.number for one in gate.candidates] == [1, 3]
    assert [(studio.root / one.path).read_bytes() for one in gate.candidates] == [files[1], files[3]]
    seeds = {gate.provenance.seed, *(one.provenance.seed for one in gate.candidates)}
    assert len(seeds) == 3
    assert "" not in seeds
    assert studio.pictures()["takes:gate-v3-v1"].candidates == ()


def test_a_candidate_without_a_file_is_shown_from_the_store(studio: Studio) -> None:
    picked(studio)
    before = studio.pictures()["takes:gate"].candidates
    shutil.rmtree(studio.root / CANDIDATES)
    after = studio.pictures()["takes:gate"].candidates
    assert [(one.number, one.path, one.sha256) for one in after] == [(one.number, "", one.sha256) for one in before]
    shutil.rmtree(studio.root / ".imagegen/store")
    assert studio.pictures()["takes:gate"].candidates == ()


def test_the_page_that_is_a_file_has_none(studio: Studio) -> None:
    picked(studio)
    studio.write()
    page = {picture["task"]: picture for picture in embedded((studio.root / PAGE).read_text("utf-8"))}
    assert page["takes:gate"]["candidates"] == []
