"""The derived outputs of a job, in which order all are made, and why one is stale."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from imagegen.config.checking import check_job
from imagegen.config.document import Document
from imagegen.config.job import Encoding
from imagegen.plan.expansion import BackendCapabilities, Expansion, expand
from imagegen.plan.freshness import FileOnDisk, compare
from imagegen.plan.origins import find_circle, link_origins, sort_by_origin
from imagegen.plan.output import Origin, Output
from imagegen.plan.record import JobDecisions, OutputLine
from imagegen.plan.request import Request

__all__ = []


ITEMS = [{"name": "Mallsing", "prompt": "a"}, {"name": "Yrr", "prompt": "b"}, {"name": "Okka", "prompt": "c"}]


def expansion(**keys: Any) -> Expansion:
    job = check_job("j", Document("jobs/j.yaml", {"items": ITEMS, **keys}, {}), {})
    return expand(
        job, job.items, lambda _: BackendCapabilities("scripted", frozenset({"prompt", "seed"})), JobDecisions()
    )


def derived(**keys: Any) -> list[Output]:
    found = expansion(**keys)
    assert not found.problems
    return [output for output in found.outputs if output.is_derived]


def settled(output: Output, **shas: str) -> Output:
    return output.with_decisions(origins=[replace(o, sha256=shas.get(o.key, f"{o.key}-1")) for o in output.origins])


def line_of(output: Output) -> OutputLine:
    return OutputLine(
        output.path, output.slug, output.fingerprint, output.encoding, output.fields, "f", 1, None, "", 0.0, "now"
    )


def reasons(output: Output, line: OutputLine) -> list[str]:
    return [*map(str, compare(output, line, FileOnDisk("f", True), None).reasons)]


def test_each_image_has_each_derived_file_beside_it() -> None:
    found = derived(
        derive={"thumb": {"width": 32, "format": "webp"}, "big": {"dir": "out"}}, output={"name": "a/{slug}"}
    )
    assert [output.task for output in found[:2]] == ["j:mallsing:thumb", "j:mallsing:big"]
    assert [output.path for output in found[:2]] == ["assets/j/a/mallsing-thumb.webp", "out/a/mallsing-big.png"]
    assert [[o.task for o in output.origins] for output in found[:4:2]] == [["j:mallsing"], ["j:yrr"]]


def test_it_is_encoded_as_its_image_but_for_what_it_says_itself() -> None:
    output = {"format": "jpeg", "quality": 70, "metadata": "none"}
    rules = {"a": {}, "b": {"quality": 30}, "c": {"format": "webp"}, "d": {"metadata": "full", "format": "png"}}
    found = derived(derive=rules, output=output)[:4]
    assert [one.encoding for one in found] == [
        Encoding("jpeg", 70, "none"),
        Encoding("jpeg", 30, "none"),
        Encoding("webp", 90, "none"),
        Encoding("png", 100, "full"),
    ]


def test_a_sheet_follows_all_images_and_no_derived_file() -> None:
    sheet, index = derived(sheet={"cell": 64}, derive={"thumb": {}})[-2:]
    assert (sheet.task, sheet.path, index.task, index.path) == (
        *("j:sheet", "assets/j/sheet.png"),
        *("j:sheet:index", "assets/j/sheet.json"),
    )
    assert [o.task for o in sheet.origins] == ["j:mallsing", "j:yrr", "j:okka"]
    assert sheet.fields["columns"] == 2


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"derive": {"a": {"width": 5, "crop": "top"}}}, "derive.a.crop: needs a width and a height to cut to"),
        ({"sheet": {"name": "yrr"}}, "sheet.name: an image of this job has the name 'yrr' too"),
        ({"sheet": {"columns": 2, "cell": 2048}, "variants": 2}, ""),
        (
            {"sheet": {"columns": 1, "cell": 2048, "format": "webp"}, "variants": 3},
            "2048×18432 pixels; the maximum is 16383 a side",
        ),
        ({"sheet": {"cell": 2048}, "variants": 6}, "10240×8192 pixels; the maximum is 67108864 in all"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is(keys: dict[str, Any], message: str) -> None:
    problems = [str(problem) for problem in expansion(**keys).problems]
    assert [message in problem for problem in problems] == ([True] if message else [])


def test_its_fingerprint_follows_the_image_and_its_own_entry_and_nothing_else() -> None:
    def first(**keys: Any) -> Output:
        return settled(derived(**keys)[0])

    thumb = first(derive={"thumb": {"width": 32}})
    assert derived(derive={"thumb": {"width": 32}})[0].fingerprint == ""
    assert settled(thumb).fingerprint == thumb.fingerprint == first(derive={"x": {"width": 32, "dir": "y"}}).fingerprint
    others = [{"width": 33}, {"height": 32}, {"width": 32, "format": "webp"}, {"width": 32, "enlarge": True}]
    assert len({thumb.fingerprint, *(first(derive={"a": rules}).fingerprint for rules in others)}) == 5
    assert settled(thumb, image="other").fingerprint != thumb.fingerprint


def test_fingerprints_of_derived_files_stay_what_they_are() -> None:
    thumb = derived(derive={"thumb": {"width": 256, "format": "webp"}})[0]
    square = derived(derive={"s": {"width": 64, "height": 64, "crop": "top", "metadata": "none"}})[0]
    sheet, index = derived(sheet={})
    golden = [settled(output).fingerprint[:16] for output in (thumb, square, sheet, index)]
    assert golden == GOLDEN


GOLDEN = ["a8aeb694194ddaf1", "dbf3ceffd359640f", "0573255b28d4fa0b", "f71da05b1718b4e4"]


def test_why_a_thumbnail_is_stale() -> None:
    thumb = settled(derived(derive={"thumb": {"width": 32}})[0])
    line = line_of(thumb)
    assert reasons(thumb, line) == []
    assert reasons(settled(thumb, image="other"), line) == ["j:mallsing changed"]
    assert reasons(settled(thumb, image=""), line) == ["may change with j:mallsing"]
    wider = settled(derived(derive={"thumb": {"width": 48, "format": "webp"}})[0])
    assert sorted(reasons(wider, line)) == ["format png → webp", "quality 100 → 90", "width 32 → 48"]


def test_why_a_sheet_is_stale() -> None:
    sheet = settled(derived(sheet={})[0])
    line = line_of(sheet)
    assert reasons(settled(sheet, yrr="other"), line) == ["j:yrr changed"]
    assert reasons(settled(derived(sheet={"columns": 2}, items=ITEMS[:2])[0]), line) == ["j:okka left out"]
    assert reasons(settled(derived(sheet={}, items=ITEMS[::-1])[0]), line) == ["order changed"]
    more = [*ITEMS, {"name": "New", "prompt": "d"}]
    assert reasons(settled(derived(sheet={}, items=more)[0]), line) == ["j:new added"]


def test_a_file_touched_up_by_hand_is_protected_as_an_image_is() -> None:
    thumb = settled(derived(derive={"thumb": {"width": 32}})[0])
    line = line_of(thumb)
    assert compare(thumb, line, FileOnDisk("touched up"), None).state == "kept"
    assert compare(settled(thumb, image="other"), line, FileOnDisk("touched up"), None).state == "blocked"


def made_from(**origins: list[str]) -> list[Output]:
    template = expansion().outputs[0]
    return [
        replace(template, slug=name, origins=tuple(Origin(other, f"j:{other}") for other in others))
        for name, others in origins.items()
    ]


def test_each_output_comes_after_those_that_it_is_made_from() -> None:
    outputs = made_from(a=["c"], b=[], c=["d", "b"], d=[], e=["nowhere"])
    assert [output.slug for output in sort_by_origin(outputs)] == ["d", "b", "c", "a", "e"]
    assert sort_by_origin(outputs[1:2]) == outputs[1:2]


def test_a_long_chain_is_put_in_order() -> None:
    chain = made_from(**{f"n{n}": [f"n{n + 1}"] for n in range(3000)})
    assert sort_by_origin(chain) == chain[::-1]
    assert find_circle(chain) == []


@pytest.mark.parametrize(
    ("origins", "found"),
    [
        ({"a": ["b"], "b": ["c"], "c": []}, []),
        ({"a": ["a"]}, ["a"]),
        ({"x": ["a"], "a": ["y", "b"], "b": ["c"], "c": ["a"], "y": []}, ["a", "b", "c"]),
    ],
)
def test_a_circle_is_found_and_what_only_leads_to_it_is_no_part(
    origins: dict[str, list[str]], found: list[str]
) -> None:
    assert sorted(output.slug for output in find_circle(made_from(**origins))) == found


def chain(length: int, first: str) -> list[Output]:
    """Images of one job, each made from the one before, and i0 from `first`."""
    outputs = []
    for number in range(length):
        origin = Origin("ref", f"j:i{number - 1}" if number else first, where=f"jobs/j.yaml:{number + 1}:1")
        request = Request("scripted", f"i{number}", "p")
        output = Output("j", f"i{number}", f"a/i{number}.png", request, frozenset(), Encoding(), "own", 9.0, "")
        outputs.append(replace(output, origins=(origin,)))
    return outputs


def test_a_long_circle_is_said_in_few_words() -> None:
    _, wrong = link_origins(chain(2000, "j:i1999"), ())
    (what,) = {problem.what for problem in wrong["j"]}
    assert what.endswith("and so on through 2000 images, j:i1 from j:i0")
    assert len(what) < 400


def test_what_was_likely_meant_is_looked_for_where_somebody_reads_it() -> None:
    outputs = [
        replace(one, origins=(Origin("ref", f"j:x{at}", where=f"{at}"),)) for at, one in enumerate(chain(150, ""))
    ]
    _, wrong = link_origins(outputs, ())
    assert len(wrong["j"]) == 150
    assert sum("in the job j" in problem.what for problem in wrong["j"]) == 100


def test_an_index_beside_references_is_not_taken_for_one() -> None:
    found = [*expansion(sheet={"layout": "packed", "index": "css"}).outputs]
    reference = replace(found[-1], slug="other", origins=(Origin("a", "j:sheet", where="jobs/j.yaml:1:1"),))
    linked, wrong = link_origins([*found, reference], ())
    assert not wrong
    assert [*linked] == ["j:other"]
    reference = replace(reference, origins=(Origin("a", "j:sheet:css", where="jobs/j.yaml:1:1"),))
    _, wrong = link_origins([*found, reference], ())
    assert "j:sheet:css is not an image" in str(wrong["j"][0])
