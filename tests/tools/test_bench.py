"""The benchmarks of docs/performance.md and docs/scale.md: they run, and their tables mean what they say."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.wheels import ROOT


def script(name: str) -> Any:
    """One of tools/bench, as a module."""
    specification = importlib.util.spec_from_file_location(f"bench_{name}", ROOT / f"tools/bench/{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # where its dataclasses look themselves up
    specification.loader.exec_module(module)
    return module


def run_bench(name: str, *arguments: str) -> str:
    """What one of tools/bench prints."""
    words = [sys.executable, str(ROOT / f"tools/bench/{name}.py"), *arguments]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def rows(message: str) -> list[list[str]]:
    """The cells of all tables, without their headings."""
    lines = re.sub(r"\|.*\n\|[-:|]+\|\n", "", message).splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]


def test_runs_take_turns_and_the_median_of_each_counts() -> None:
    runs = script("runs")
    order: list[str] = []

    def run(name: str, *each_s: float) -> Any:
        left = list(each_s)

        def once() -> Any:
            order.append(name)
            return runs.Run(left.pop(0), 0.0, 0.0, 1)

        return once

    found = runs.alternate(3, {"one": run("one", 5, 1, 2), "other": run("other", 3, 9, 4)})
    assert {name: each.cpu_s for name, each in found.items()} == {"one": 2, "other": 4}
    assert order == ["one", "other", "other", "one", "one", "other"]


def test_of_a_command_its_children_count_too_and_a_failure_shows_what_it_printed(tmp_path: Path) -> None:
    runs = script("runs")
    work = "import time\nwhile time.process_time() < 0.05: pass"
    child = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {work!r}])"
    found = runs.measure([sys.executable, "-c", child], tmp_path, watch=True)
    assert found.cpu_s > 0.05
    assert found.threads >= (1 if sys.platform == "linux" else 0)
    with pytest.raises(SystemExit, match="out of cheese"):
        runs.measure([sys.executable, "-c", "raise SystemExit('out of cheese')"], tmp_path)


@pytest.mark.long
def test_nothing_to_do_is_shown_beside_other_tools_and_the_floor() -> None:
    found = rows(run_bench("noop", "--images", "3,20", "--rounds", "1"))
    assert [row[0] for row in found] == ["3", "20"] * 3
    assert all(float(row[5]) > 0 for row in found[:4])


@pytest.mark.long
def test_each_shape_is_compared_with_one_job_and_each_project_built_once(tmp_path: Path) -> None:
    words = ["--images", "100", "--rounds", "1", "--keep", str(tmp_path)]
    first, again = rows(run_bench("shapes", *words)), rows(run_bench("shapes", *words))
    assert [row[0] for row in first] == [row[0] for row in again]
    assert first[8:16] == again[8:16], "the first builds"


@pytest.mark.long
def test_one_change_of_each_kind_is_measured_beside_another_installation() -> None:
    doit = shutil.which("doit", path=Path(sys.executable).parent)
    found = rows(run_bench("change", "--images", "100", "--rounds", "2", "--against", str(doit)))
    assert len(found) == 20
    assert all(float(row[3]) > 0 for row in found)


@pytest.mark.long
def test_each_command_is_compared_with_a_whole_plan() -> None:
    found = rows(run_bench("commands", "--images", "10", "--rounds", "1"))
    assert found[0][4] == "1.00"
    assert {"why", "verify", "gallery, after a change", "prune -n"} <= {row[0] for row in found}


@pytest.mark.long
def test_of_what_git_grows_by_the_lock_files_share_is_shown() -> None:
    found = rows(run_bench("git_growth", "--images", "40", "--commits", "2"))
    assert [row[0] for row in found] == ["one job", "thumbnails and a sheet"]
    for row in found:
        for cell in row[2:]:
            everything, share = re.fullmatch(r"([0-9.]+) \(([0-9.]+)\)", cell).groups()  # type: ignore[union-attr]
            assert 0 < float(share) < float(everything)


def test_what_no_step_took_of_the_processor_is_told_too() -> None:
    def work() -> None:
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass

    timed = script("first").Timed()
    inner = timed.step("inner", work)

    def both() -> None:
        work()
        inner()

    outer = timed.step("outer", both)
    with timed.whole():
        outer()
        work()
    assert min(timed.cpu["outer"], timed.cpu["inner"], timed.in_no_step) >= 0.019
    assert timed.whole_cpu == pytest.approx(timed.cpu["outer"] + timed.cpu["inner"] + timed.in_no_step)


@pytest.mark.long
def test_a_first_build_is_told_with_each_ratio() -> None:
    out = run_bench("first", "--images", "2", "--size", "64", "--fed", "3", "--small", "9", "--sync-ms", "1")
    reported = {row[0]: row for row in rows(out)}
    assert {"wait", "look-up", "verify", "store", "lock file", "in no step", "all but waiting"} <= set(reported)
    assert all(float(reported[name][4]) > 0 for name in ("rest of the backend", "rest of the build", "in no step"))
    against = [row[2] for row in rows(out) if len(row) == 5 and row[0].startswith("the ") and float(row[4]) > 0]
    assert against[0] == "the sum of what each image took the server"
    assert "3 × 0.2 s" in against
    assert "9 images of 64×64, each sync 1 ms longer: " in out


def a_build(**given: Any) -> Any:
    """What tools/bench/simulate.py finds of one."""
    usual = {"images": 200, "servers": 8, "models": 3, "each": 5.0, "load": 30.0, "mtbf": 0.0, "seed": 1}
    return script("simulate").simulate(argparse.Namespace(**{**usual, **given}))


def test_servers_that_die_are_busy_only_while_they_live_and_what_they_lose_is_drawn_again() -> None:
    found = a_build(mtbf=0.1)
    assert found.left == 0
    assert found.dead >= found.again > 0
    assert 0.5 < found.drawing + found.loading <= 1
    assert found.makespan_s > found.bound_s
    assert a_build().dead == 0


def test_a_build_whose_servers_are_all_dead_ends_and_says_how_much_is_left() -> None:
    found = a_build(mtbf=0.01)
    assert found.dead == 8
    assert 0 < found.left < 200
    out = run_bench("simulate", "--images", "200", "--servers", "8", "--mtbf", "0.01")
    assert "All 8 servers have died, with" in out


def test_the_bound_of_more_models_than_servers_loads_each_where_that_costs_the_fewest_images() -> None:
    simulate = script("simulate")
    fast, slow = simulate.Server("fast", 1.0, float("inf")), simulate.Server("slow", 10.0, float("inf"))
    assert simulate.most([fast, slow], 100, 2, 10) == 90 + 9
    assert simulate.most([fast, slow], 100, 3, 10) == 90 + 8
    assert simulate.most([fast, slow], 100, 12, 10) == 80  # the slow one has no time for the last one
    assert simulate.most([fast, slow], 100, 21, 10) == 0
    found = a_build(models=40)
    assert found.makespan_s > found.bound_s
    assert found.loads >= 40


@pytest.mark.long
def test_what_doit_spends_its_time_on_is_told_by_module() -> None:
    out = run_bench("phases", "--images", "20", "--least", "0")
    nothing, changed = out.split("One changed prompt")
    of_nothing, of_changed = ({row[0]: float(row[1]) for row in rows(part)} for part in (nothing, changed))
    assert of_nothing["importing"] > 0
    assert "imagegen.state.snapshot" in of_nothing
    assert {"imagegen.execute.run", "imagegen.state.lockfile"} <= set(of_changed) - set(of_nothing)


@pytest.mark.long
@pytest.mark.skipif(not importlib.util.find_spec("distributed"), reason="needs the package distributed")
def test_two_workers_are_told_beside_one() -> None:
    (row,) = rows(run_bench("workers", "--images", "8", "--rounds", "1"))
    assert 1.2 < float(row[6]) < 3, row


def test_the_one_command_runs_every_script_that_needs_no_server() -> None:
    tables = script("__main__").TABLES
    scripts = {path.name for path in (ROOT / "tools/bench").glob("*.py")} - {
        "__main__.py",
        "comfyui.py",
        "projects.py",
        "runs.py",
    }
    assert {whole[0] for _, whole, _ in tables} == {quick[0] for _, _, quick in tables} == scripts
