"""After a pick, nothing is stale: derived files follow the item's image, and those of other variants are gone."""

from __future__ import annotations

from imagegen.execute.run import Wanted, run
from imagegen.execute.settling import settle_derived
from tests.execute.workshop import Workshop, picture


def made(workshop: Workshop) -> None:
    workshop.job(variants=2, derive={"thumb": {"width": 16}}, sheet={"cell": 16})
    assert set(workshop.build().values()) == {"generated", "derived"}


def pick(workshop: Workshop, variant: int) -> dict[str, str]:
    """What became of the derived outputs."""
    found = workshop.pick("mallsing", variant)
    project = workshop.project()
    became: dict[str, str] = {}
    outputs = settle_derived(project, found)
    run(project, [Wanted(output) for output in outputs], lambda one: became.update({one.output.slug: one.state}))  # type: ignore[union-attr]
    return became


def derived(workshop: Workshop) -> set[str]:
    names = {path.rpartition("/")[2] for path in workshop.files()}
    return {name for name in names if "thumb" in name or "sheet" in name}


def test_they_follow_the_pick_and_nothing_is_stale(workshop: Workshop) -> None:
    made(workshop)
    thumb = (workshop.root / "assets/portraits/mallsing-v2-thumb.png").read_bytes()
    sheet = (workshop.root / "assets/portraits/sheet.png").read_bytes()
    assert pick(workshop, 2) == {"mallsing:thumb": "restored", "sheet": "derived", "sheet:index": "derived"}
    ours, others = {"mallsing-thumb.png"}, {"yrr-v1-thumb.png", "yrr-v2-thumb.png", "sheet.png", "sheet.json"}
    assert derived(workshop) == ours | others
    assert (workshop.root / "assets/portraits/mallsing-thumb.png").read_bytes() == thumb
    assert workshop.is_kept(sheet)
    assert workshop.build() == {}
    assert pick(workshop, 0)["mallsing-v2:thumb"] == "restored"
    assert derived(workshop) == {"mallsing-v1-thumb.png", "mallsing-v2-thumb.png", *others}
    assert workshop.build() == {}
    assert workshop.calls() == 4


def test_a_derived_file_that_somebody_changed_stays(workshop: Workshop) -> None:
    made(workshop)
    mine = picture("blue", (16, 16))
    (workshop.root / "assets/portraits/mallsing-v1-thumb.png").write_bytes(mine)
    pick(workshop, 2)
    assert (workshop.root / "assets/portraits/mallsing-v1-thumb.png").read_bytes() == mine


def test_what_is_made_from_an_image_that_is_not_there_waits_for_it(workshop: Workshop) -> None:
    made(workshop)
    workshop.path("yrr-v1").unlink()
    assert pick(workshop, 1) == {"mallsing:thumb": "restored"}


def test_items_with_a_name_that_goes_on_like_the_picked_one_are_left_alone(workshop: Workshop) -> None:
    items = [{"name": name, "prompt": name} for name in ("Mallsing", "Mallsing-vale", "Mallsing-v")]
    workshop.job(items=items, variants=2, derive={"thumb": {"width": 16}})
    workshop.build()
    workshop.job(items=items[:1], variants=2, derive={"thumb": {"width": 16}})
    pick(workshop, 1)
    names = {f"mallsing-{end}-v{number}-thumb.png" for end in ("v", "vale") for number in (1, 2)}
    assert names < derived(workshop)
