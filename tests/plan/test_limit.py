"""Which stale images a run with a limit builds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from hypothesis import given
from hypothesis import strategies as st

from imagegen.config.job import Encoding
from imagegen.plan.limit import Limited, limit_outputs
from imagegen.plan.output import DERIVE, Origin, Output
from imagegen.plan.request import Request


def output(task: str, *origins: str) -> Output:
    """Return an output; its name says whether it is derived: with a colon, or of a sheet."""
    job, _, slug = task.partition(":")
    backend = DERIVE if ":" in slug or slug == "sheet" else "b"
    made_from = tuple(Origin(one, one) for one in origins)
    return Output(
        job,
        slug,
        f"{job}-{slug}",
        Request(backend, slug, ""),
        frozenset(),
        Encoding(),
        "own",
        9.0,
        "",
        origins=made_from,
    )


def limit(
    outputs: Iterable[Output],
    number: int,
    selected: Collection[str] = (),
    forced: Collection[str] = (),
    **states: Collection[str],
) -> Limited:
    """Limit these outputs, which are stale unless `states` names them; without a selection, all of them."""
    known = {one.task: one for one in outputs}
    state: Mapping[str, str] = {
        task: next((name for name, of in states.items() if task in of), "stale") for task in known
    }

    def close(tasks: Iterable[str]) -> set[str]:
        found = set(tasks)
        while more := {origin.task for task in found for origin in known[task].origins} & known.keys() - found:
            found |= more
        return found

    return limit_outputs(list(known.values()), selected or known, state, forced, number, close)


IMAGES = [output("p:a"), output("p:b"), output("p:c")]
THUMBS = [output("p:a:t", "p:a"), output("p:b:t", "p:b"), output("p:c:t", "p:c")]
SHEET = [output("p:sheet", "p:a:t", "p:b:t", "p:c:t"), output("p:sheet:index", "p:sheet")]


def test_it_takes_the_first_stale_ones_of_each_job_with_what_is_derived_from_them() -> None:
    found = limit([*IMAGES, *THUMBS, output("q:x"), output("q:y")], 1, fresh={"p:a", "p:a:t"})
    assert found.tasks == ("p:a", "p:b", "p:a:t", "p:b:t", "q:x")
    assert found.left == ("p:c", "q:y")


def test_a_sheet_waits_until_all_its_pictures_are_there() -> None:
    found = limit([*IMAGES, *THUMBS, *SHEET], 1)
    assert (found.tasks, found.waiting) == (("p:a", "p:a:t"), {"p:sheet": 2})
    everything = [*IMAGES, *THUMBS, *SHEET]
    found = limit(everything, 1, fresh={"p:a", "p:a:t", "p:b", "p:b:t"})
    assert (len(found.tasks), found.left, found.waiting) == (len(everything), (), {})


def test_what_an_image_is_made_from_is_built_with_it_and_does_not_count() -> None:
    chained = [output("p:a", "p:c"), output("p:b"), output("p:c", "q:x"), output("q:x"), output("q:y")]
    found = limit(chained, 1, selected={"p:a", "p:b", "p:c"})
    assert (found.tasks, found.left) == (("p:a", "p:c", "q:x"), ("p:b",))


def test_an_image_with_a_sheet_as_its_reference_has_the_whole_sheet_built() -> None:
    found = limit([*IMAGES, *THUMBS, *SHEET, output("q:x", "p:sheet")], 1)
    assert (found.left, found.waiting) == ((), {})
    assert "p:sheet:index" in found.tasks


def test_a_derived_file_counts_if_its_image_is_fresh_or_no_output_at_all() -> None:
    found = limit([*IMAGES, *THUMBS], 2, fresh={"p:a", "p:b", "p:c"})
    assert (found.tasks, found.left) == (("p:a", "p:b", "p:a:t", "p:b:t"), ("p:c",))
    of_files = [output("p:a:t"), output("p:a:u"), output("p:b:t")]
    assert limit(of_files, 1) == Limited(("p:a:t", "p:a:u"), ("p:b",))


def test_an_image_that_cannot_be_replaced_is_reported_and_does_not_count() -> None:
    found = limit([*IMAGES, *THUMBS], 1, blocked={"p:a"}, kept={"p:b"}, fresh={"p:b:t"})
    assert (found.tasks, found.left) == (("p:a", "p:b", "p:c", "p:a:t", "p:b:t", "p:c:t"), ())


def test_what_is_made_from_an_image_that_cannot_be_replaced_does_not_count_either() -> None:
    made = [output("p:a"), *(output(f"q:{name}", "p:a") for name in "ab"), output("q:c"), output("q:d")]
    found = limit(made, 1, blocked={"p:a"})
    assert (found.tasks, found.left) == (("p:a", "q:a", "q:b", "q:c"), ("q:d",))
    assert limit(made, 1, blocked={"p:a"}, fresh={"q:c", "q:d"}).left == ()


def test_of_a_sheet_that_is_asked_for_the_pictures_count() -> None:
    everything = [*IMAGES, *THUMBS, *SHEET, output("q:x")]
    for asked in ("p:sheet", "p:sheet:index"):
        found = limit(everything, 2, selected={asked})
        assert found.tasks == ("p:a", "p:b", "p:a:t", "p:b:t")
        assert (found.left, found.waiting) == (("p:c",), {"p:sheet": 1})
        found = limit(everything, 2, selected={asked}, fresh=set(found.tasks))
        assert found.tasks[-2:] == ("p:sheet", "p:sheet:index")
        assert (found.left, found.waiting) == ((), {})


def test_forced_images_count_though_they_are_fresh_and_a_sheet_does_not_wait_for_those() -> None:
    everything = [*IMAGES, output("p:sheet", "p:a", "p:b", "p:c")]
    tasks = {one.task for one in everything}
    found = limit(everything, 2, forced=tasks, fresh=tasks)
    assert (found.tasks, found.left, found.waiting) == (("p:a", "p:b", "p:sheet"), ("p:c",), {})


@st.composite
def projects(draw: st.DrawFn) -> tuple[dict[str, Output], set[str]]:
    """Return the outputs of two jobs, made from each other in any way that is possible, and those that are stale."""
    outputs: list[Output] = []
    for number in range(draw(st.integers(1, 8))):
        job = draw(st.sampled_from("pq"))
        made_from = draw(st.lists(st.sampled_from([one.task for one in outputs]), max_size=2)) if outputs else []
        outputs.append(output(f"{job}:{number}", *dict.fromkeys(made_from)))
        if draw(st.booleans()):
            outputs.append(output(f"{job}:{number}:t", f"{job}:{number}"))
    of_p = [one.task for one in outputs if one.job == "p"]
    has_sheet: bool = draw(st.booleans())
    if of_p and has_sheet:
        outputs += [output("p:sheet", *of_p), output("p:sheet:index", "p:sheet")]
    stale = set(draw(st.lists(st.sampled_from([one.task for one in outputs]))))
    for one in outputs:  # what is made from something stale is stale
        stale |= {one.task for origin in one.origins if origin.task in stale}
    order = draw(st.permutations(outputs))
    return {one.task: one for one in order}, stale


@given(projects(), st.integers(1, 3))
def test_runs_with_a_limit_end_where_one_without_it_does(
    project: tuple[dict[str, Output], set[str]], number: int
) -> None:
    known, stale = project
    while stale:
        found = limit(known.values(), number, fresh=known.keys() - stale)
        built = stale & {*found.tasks}
        assert built
        assert all(origin.task in built for task in built for origin in known[task].origins if origin.task in stale)
        assert built.isdisjoint(found.left)
        assert bool(found.left) == (built != stale)
        chosen = {task for task in built if ":" not in task.partition(":")[2] and not known[task].is_derived}
        needed = {origin.task for task in built for origin in known[task].origins}
        for job in "pq":
            assert sum(known[task].job == job for task in chosen - needed) <= number
        stale = stale - built
