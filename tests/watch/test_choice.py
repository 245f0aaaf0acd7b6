"""What is built after an edit."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from imagegen.execute.forecast import Act, ForecastImage
from imagegen.plan.freshness import Verdict
from imagegen.plan.output import Origin
from imagegen.watch.choice import Outlook, choose
from tests.report.events import image

FREE = Decimal(0)


def planned(name: str, act: Act = "generate", price: str | None = "0", of: str = "") -> ForecastImage:
    output = image(name)
    if of:
        output = replace(output, origins=(Origin("image", f"j:{of}"),))
    return ForecastImage(output, Verdict("stale"), act, price=None if price is None else Decimal(price))


def test_what_was_stale_before_is_left_until_it_changes() -> None:
    first = Outlook(images=[planned("old"), planned("thumbnail", "follow", of="old"), planned("kept", "keep")])
    assert sorted(first.stale) == ["j:old", "j:thumbnail"]
    edited = Outlook(images=[*first.images, planned("new"), planned("done", "fresh")])
    found = choose(edited, first.stale, FREE)
    assert (found.images, found.left) == (["j:new"], ["j:old", "j:thumbnail"])

    old = replace(first.images[0], output=replace(first.images[0].output, fingerprint="another"))
    found = choose(Outlook(images=[first.images[1], old]), first.stale, FREE)
    assert (found.images, found.left) == (["j:old", "j:thumbnail"], [])


def test_what_costs_waits_for_a_budget_with_what_is_made_from_it() -> None:
    outlook = Outlook(
        images=[
            planned("dear", price="0.04"),
            planned("unknown", price=None),
            planned("free"),
            planned("thumbnail", "follow", of="dear"),
        ]
    )
    found = choose(outlook, {}, FREE)
    assert found.images == ["j:free"]
    assert [one.output.task for one in found.unpaid] == ["j:dear", "j:unknown"]
    assert found.left == ["j:thumbnail"]
    found = choose(outlook, {}, Decimal("0.04"))
    assert found.images == ["j:dear", "j:free", "j:thumbnail"]
    assert len(choose(outlook, {}, None).images) == 4


def test_what_is_made_from_an_old_image_that_costs_is_not_built_either() -> None:
    old = planned("dear", price="0.04")
    found = choose(Outlook(images=[old, planned("thumbnail", "derive", of="dear")]), {"j:dear": old.output}, FREE)
    assert (found.images, found.unpaid, found.left) == ([], [], ["j:dear", "j:thumbnail"])
