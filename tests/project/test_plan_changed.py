from __future__ import annotations

import io
import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imagegen.backends.registry import registry
from imagegen.config.settings import Settings
from imagegen.library.snapshots import take_snapshot
from imagegen.plan.output import Output
from imagegen.project import JobPlan, Project
from imagegen.project.plan_changed import plan_changed
from imagegen.state.snapshot import Snapshot, read_snapshot
from tests.project_folder import picture

OLD = time.time_ns() - 10**12
TICKS = itertools.count(OLD)
Jobs = dict[str, dict[str, Any]]


def at(root: Path) -> Project:
    return Project(root, Settings(), registry())


def write(root: Path, jobs: Jobs) -> None:
    """As JSON; a job that is as it was is not touched."""
    for name, values in jobs.items():
        file = root / f"jobs/{name}.json"
        text = json.dumps(values)
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
            tick = next(TICKS)
            os.utime(file, ns=(tick, tick))


def remembered(root: Path, jobs: Jobs) -> list[JobPlan]:
    """The plans of jobs without problems, which a snapshot was taken of as if all their images were fresh."""
    (root / "jobs").mkdir(parents=True)
    write(root, jobs)
    project = at(root)
    plans = project.plans()
    assert not any(plan.problems for plan in plans)
    remember(project, plans)
    return plans


def remember(project: Project, plans: list[JobPlan], before: Snapshot | None = None) -> None:
    """Take a snapshot as if all images of the plans were fresh. before: what is known of others."""
    outputs = [output for plan in plans for output in plan.outputs]
    for output in outputs:
        file = project.root / output.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"an image")
        os.utime(file, ns=(OLD, OLD))
        project.hashes.state(output.path)
    take_snapshot(project, "key", plans, {output.task: "" for output in outputs}, before)


def recalled(root: Path) -> Snapshot | None:
    return read_snapshot(root, "key")


def by_task(plans: list[JobPlan]) -> dict[str, Output]:
    return {output.task: output for plan in plans for output in plan.outputs}


def planned(root: Path, jobs: Jobs) -> tuple[set[str], set[str]] | None:
    """The outputs that are planned once the jobs are these, and those that are not, in a project that was remembered."""
    write(root, jobs)
    snapshot = recalled(root)
    assert snapshot is not None
    found = plan_changed(at(root), snapshot)
    if found is None:
        return None
    plans, rest = found
    return set(by_task(plans)), {f"{job.task}:{slug}" for job in rest.jobs for slug in job.outputs}


def job(*names: str, **values: Any) -> dict[str, Any]:
    return {"items": [{"name": name, "prompt": f"a picture of {name}"} for name in names], **values}


KIN = job("Yrr", "Okka", "Mallsing")


def with_item(number: int, base: dict[str, Any] = KIN, **changes: Any) -> dict[str, Any]:
    items = [dict(item) for item in base["items"]]
    items[number] |= changes
    return {**base, "items": items}


@pytest.mark.parametrize(
    ("now", "wanted", "rest"),
    [
        (with_item(1, prompt="another"), {"kin:okka"}, {"kin:yrr", "kin:mallsing"}),
        (with_item(1, seed=7), {"kin:okka"}, {"kin:yrr", "kin:mallsing"}),
        (with_item(1, name="Okke"), {"kin:okke"}, {"kin:yrr", "kin:mallsing"}),
        (job("Yrr", "New", "Okka", "Mallsing"), {"kin:new"}, {"kin:yrr", "kin:okka", "kin:mallsing"}),
        (job("Okka", "Mallsing"), {"kin:okka"}, {"kin:mallsing"}),
        (job("Mallsing", "Okka", "Yrr"), {"kin:mallsing"}, {"kin:yrr", "kin:okka"}),
    ],
)
def test_only_what_changed_is_planned(tmp_path: Path, now: dict[str, Any], wanted: set[str], rest: set[str]) -> None:
    remembered(tmp_path, {"kin": KIN, "arms": job("Shield")})
    assert planned(tmp_path, {"kin": now}) == (wanted, rest | {"arms:shield"})


def test_of_two_touched_jobs_what_changed_is_planned(tmp_path: Path) -> None:
    arms = job("Shield", "Helm", matrix={"metal": {"iron": "iron", "gold": "gold"}}, prompt={"suffix": "of {metal}"})
    remembered(tmp_path, {"kin": KIN, "arms": arms})
    wanted, rest = {"kin:yrr", "arms:helm-iron", "arms:helm-gold"}, {"arms:shield-iron", "arms:shield-gold"}
    found = planned(tmp_path, {"kin": with_item(0, prompt="another"), "arms": with_item(1, arms, seed=3)})
    assert found == (wanted, rest | {"kin:okka", "kin:mallsing"})


@pytest.mark.parametrize(
    "now",
    [
        with_item(1, name="Yrr"),
        with_item(1, name="yrr!"),
        with_item(1, steps="many"),
        with_item(1, name="x" * 300),
        KIN | {"items": []},
        KIN | {"items": [*KIN["items"], KIN["items"][0]]},
        KIN | {"items": "Yrr"},
        KIN | {"items": [*KIN["items"], "Yrr"]},
        KIN | {"extends": "nothing.yaml"},
    ],
)
def test_what_is_wrong_takes_the_whole_plan(tmp_path: Path, now: dict[str, Any]) -> None:
    remembered(tmp_path, {"kin": KIN, "arms": job("Shield")})
    assert planned(tmp_path, {"kin": now}) is None


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (KIN, KIN | {"prompt": {"prefix": "an etching"}}),
        (KIN, KIN | {"variants": 2}),
        (KIN, KIN | {"sheet": {}}),
        (KIN | {"sheet": {}}, KIN),
        (KIN | {"sheet": {}}, with_item(1, KIN | {"sheet": {}}, prompt="another")),
        (
            KIN | {"generate": {"seed": {"mode": "sequence"}}},
            with_item(1, KIN | {"generate": {"seed": {"mode": "sequence"}}}, prompt="another"),
        ),
    ],
)
def test_what_concerns_all_of_a_job_plans_that_job(tmp_path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    remembered(tmp_path, {"kin": before, "arms": job("Shield")})
    found = planned(tmp_path, {"kin": now})
    assert found is not None
    assert {task for task in found[0] if task.startswith("kin:")} == found[0] > set()
    assert found[1] == {"arms:shield"}


def test_derived_files_are_planned_with_their_image(tmp_path: Path) -> None:
    thumbs = KIN | {"derive": {"thumb": {"width": 32}}}
    remembered(tmp_path, {"kin": thumbs})
    assert planned(tmp_path, {"kin": with_item(1, thumbs, prompt="another")}) == (
        {"kin:okka", "kin:okka:thumb"},
        {"kin:yrr", "kin:yrr:thumb", "kin:mallsing", "kin:mallsing:thumb"},
    )


def test_a_file_of_another_job_is_not_taken(tmp_path: Path) -> None:
    remembered(tmp_path, {"kin": KIN, "arms": job("Shield", output={"dir": "assets/kin"})})
    assert planned(tmp_path, {"kin": with_item(1, name="Shield")}) is None


def test_no_snapshot_is_taken_of_a_plan_whose_files_were_read_again_since(tmp_path: Path) -> None:
    """As after waiting for another build that decided something."""
    (tmp_path / "jobs").mkdir()
    write(tmp_path, {"kin": KIN})
    project = at(tmp_path)
    plans = project.plans()
    write(tmp_path, {"kin": with_item(1, prompt="another")})
    project.plans()
    remember(project, plans)
    assert recalled(tmp_path) is None


def test_an_edit_of_a_base_plans_what_it_changes_in_each_job_that_extends_it(tmp_path: Path) -> None:
    etch = {"extends": "kin.json", "prompt": {"suffix": "an etching"}, "output": {"dir": "assets/etch"}}
    remembered(tmp_path, {"kin": KIN, "etch": etch, "arms": job("Shield")})
    assert planned(tmp_path, {"kin": with_item(1, prompt="another")}) == (
        {"kin:okka", "etch:okka"},
        {"kin:yrr", "kin:mallsing", "etch:yrr", "etch:mallsing", "arms:shield"},
    )


def test_so_it_does_if_a_job_extends_it_since_only_that_was_planned(tmp_path: Path) -> None:
    remembered(tmp_path, {"kin": KIN, "etch": KIN | {"output": {"dir": "assets/etch"}}, "arms": job("Shield")})
    etch = {"extends": "kin.json", "output": {"dir": "assets/etch"}}
    for jobs in ({"etch": etch}, {"arms": job("Helm")}):
        write(tmp_path, jobs)
        project, snapshot = at(tmp_path), recalled(tmp_path)
        assert snapshot is not None
        found = plan_changed(project, snapshot)
        assert found is not None
        remember(project, *found)
    found_again = planned(tmp_path, {"kin": with_item(1, prompt="another")})
    assert found_again is not None
    assert found_again[0] == {"kin:okka", "etch:okka"}


def test_two_jobs_that_write_one_folder_by_a_link_take_the_whole_plan(tmp_path: Path) -> None:
    (tmp_path / "assets/kin").mkdir(parents=True)
    (tmp_path / "assets/linked").symlink_to(tmp_path / "assets/kin", target_is_directory=True)
    remembered(tmp_path, {"kin": KIN, "arms": job("Shield", output={"dir": "assets/linked"})})
    assert planned(tmp_path, {"arms": job("Shield", "Yrr", output={"dir": "assets/linked"})}) is None


def test_an_output_that_is_gone_is_planned_too(tmp_path: Path) -> None:
    remembered(tmp_path, {"kin": KIN})
    (tmp_path / "assets/kin/mallsing.png").unlink()
    assert planned(tmp_path, {"kin": with_item(0, prompt="another")}) == ({"kin:yrr", "kin:mallsing"}, {"kin:okka"})


ITEMS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["Yrr", "Okka", "Mall sing", "a", "b", "c", "d"]),
        "prompt": st.sampled_from(["one", "two", "{x|y} and z"]),
    },
    optional={"seed": st.integers(0, 3), "width": st.sampled_from([64, 128]), "cfg": st.sampled_from([7, 7.0])},
)
ODD = st.fixed_dictionaries(
    {"name": st.sampled_from(["yrr", "mall-sing", "a-calm", "!"]), "prompt": st.just("one")},
    optional={"width": st.just(0)},
)
HEADS = st.fixed_dictionaries(
    {},
    optional={
        "variants": st.integers(1, 2),
        "prompt": st.just({"suffix": "of old"}),
        "generate": st.sampled_from([{"steps": 5}, {"seed": {"mode": "random"}}]),
        "output": st.sampled_from([{"name": "{item}/{slug}"}, {"dir": "assets/one"}, {"name": "{variant}-{slug}"}]),
    },
) | st.just({"matrix": {"mood": {"calm": "calm", "b": "angry"}}, "prompt": {"suffix": "{mood}"}})
JOBS = st.builds(
    lambda head, items: {**head, "items": items},
    HEADS,
    st.lists(ITEMS, min_size=1, max_size=4, unique_by=lambda item: item["name"]),
)


@st.composite
def edits(draw: st.DrawFn) -> tuple[Jobs, Jobs]:
    """Three jobs, and the same with some of their items, or of all else, another. The last one may extend the first."""
    before = {name: draw(JOBS) for name in ("kin", "arms")}
    after: Jobs = {}
    for name, values in before.items():
        items = [{**item, "prompt": "three"} if draw(st.integers(0, 3)) == 3 else item for item in values["items"]]
        items = draw(st.permutations(items))[draw(st.integers(0, 1)) :]
        items += draw(st.lists(ITEMS | ODD, max_size=1))
        head = {key: values[key] for key in values if key != "items"}
        after[name] = {**(draw(HEADS) if draw(st.integers(0, 9)) == 9 else head), "items": items}
    etch: list[dict[str, Any]] = [{"extends": "kin.json", "output": {"dir": "assets/etch"}}, before["arms"]]
    before["etch"] = draw(st.sampled_from(etch))
    after["etch"] = draw(st.sampled_from(etch)) if draw(st.integers(0, 3)) == 3 else before["etch"]
    return before, after


@settings(max_examples=10)  # test_random_changes has more
@given(edit=edits())
def test_it_agrees_with_the_whole_plan(tmp_path_factory: pytest.TempPathFactory, edit: tuple[Jobs, Jobs]) -> None:
    before, after = edit
    root = tmp_path_factory.mktemp("project")
    (root / "probe/jobs").mkdir(parents=True)
    write(root / "probe", before)
    if any(plan.problems for plan in at(root / "probe").plans()):
        return
    then = by_task(remembered(root / "it", before))
    root = root / "it"
    found = planned(root, after)
    whole = at(root).plans()
    if found is None:
        return
    wanted, rest = found
    assert not any(plan.problems for plan in whole)
    now = by_task(whole)
    assert wanted | rest == now.keys()
    assert not wanted & rest
    assert {task: now[task] for task in rest} == {task: then[task] for task in rest}


def scans(root: Path, *names: str) -> None:
    for name in names:
        file = root / "art" / name
        file.parent.mkdir(exist_ok=True)
        is_new = not file.exists()
        file.write_bytes(picture("red"))
        for one in (file, file.parent) if is_new else (file,):
            tick = next(TICKS)
            os.utime(one, ns=(tick, tick))


SCANS: dict[str, Any] = {"items": {"folder": "art/*"}, "derive": {"thumb": {"width": 8}, "big": {}}}


def test_of_many_files_only_those_that_changed_are_planned(tmp_path: Path) -> None:
    scans(tmp_path, "a.png", "b.png", "c.png")
    remembered(tmp_path, {"scans": SCANS, "arms": job("Shield")})
    rest = {"scans:a:thumb", "scans:a:big", "scans:c:thumb", "scans:c:big", "arms:shield"}
    scans(tmp_path, "b.png")
    assert planned(tmp_path, {}) == ({"scans:b:thumb", "scans:b:big"}, rest)
    scans(tmp_path, "d.png")
    wanted = {"scans:b:thumb", "scans:b:big", "scans:d:thumb", "scans:d:big"}
    assert planned(tmp_path, {}) == (wanted, rest)
    (tmp_path / "art/b.png").unlink()
    assert planned(tmp_path, {}) == ({"scans:d:thumb", "scans:d:big"}, rest)


def test_a_changed_file_takes_the_sheet_with_it(tmp_path: Path) -> None:
    scans(tmp_path, "a.png", "b.png")
    remembered(tmp_path, {"scans": {**SCANS, "sheet": {}}, "arms": job("Shield")})
    scans(tmp_path, "b.png")
    found = planned(tmp_path, {})
    assert found is not None
    assert found[1] == {"arms:shield"}
    assert "scans:sheet" in found[0]


def test_an_image_that_is_made_from_a_file_is_planned_with_it_alone(tmp_path: Path) -> None:
    scans(tmp_path, "a.png", "b.png")
    painted = {
        "backend": "sd",
        "sd": {"model": "m.safetensors", "images": {"init": "{file}"}},
        "items": {"folder": "art/", "prompt": "an oil painting"},
    }
    remembered(tmp_path, {"painted": painted, "arms": job("Shield", backend="placeholder")})
    scans(tmp_path, "b.png")
    assert planned(tmp_path, {}) == ({"painted:b"}, {"painted:a", "arms:shield"})


@pytest.mark.parametrize("name", ["A.webp", "broken.png"])
def test_files_that_cannot_be_items_take_the_whole_plan(tmp_path: Path, name: str) -> None:
    scans(tmp_path, "a.png", "b.png")
    remembered(tmp_path, {"scans": SCANS})
    (tmp_path / "art" / name).write_bytes(b"" if name == "broken.png" else picture())
    assert planned(tmp_path, {}) is None


def test_a_job_that_writes_to_the_folder_takes_the_whole_plan(tmp_path: Path) -> None:
    scans(tmp_path, "a.png")
    remembered(tmp_path, {"scans": SCANS, "arms": job("Shield")})
    assert planned(tmp_path, {"arms": job("Shield", output={"dir": "art"})}) is None


def framed(path: str) -> dict[str, Any]:
    return job("Yrr", derive={"token": {"steps": [{"frame": path}]}})


@pytest.mark.parametrize(
    ("now", "is_planned"),
    [
        ({"arms": job("Shield", "Ring")}, False),  # one more output has the frame's path
        ({"arms": job("Shield", "Ring", output={"dir": "art/link"})}, False),
        ({"arms": job("Shield", "Helm")}, True),
        ({"kin": framed("assets/arms/shield.png")}, False),
        ({"kin": framed("art/link/shield.png")}, False),
        ({"kin": framed("art/other.png")}, True),
    ],
)
def test_a_frame_that_a_job_writes_takes_the_whole_plan(tmp_path: Path, now: Jobs, is_planned: bool) -> None:
    frame = io.BytesIO()
    Image.new("RGBA", (8, 8)).save(frame, "PNG")
    (tmp_path / "art").mkdir()
    (tmp_path / "assets/arms").mkdir(parents=True)
    (tmp_path / "art/link").symlink_to(tmp_path / "assets/arms")
    (tmp_path / "assets/arms/ring.png").write_bytes(frame.getvalue())
    os.utime(tmp_path / "assets/arms/ring.png", ns=(OLD, OLD))
    remembered(tmp_path, {"kin": framed("assets/arms/ring.png"), "arms": job("Shield")})
    for path in ("assets/arms/ring.png", "assets/arms/shield.png", "art/other.png"):
        (tmp_path / path).write_bytes(frame.getvalue())
    assert (planned(tmp_path, now) is not None) == is_planned
