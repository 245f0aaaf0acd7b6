"""`doit --limit N` and `doit why --limit N`, with the real doit."""

from __future__ import annotations

import json

from tests.project_folder import SMALL_JOB, ProjectFolder

JOB = {**SMALL_JOB, "items": [{"name": name, "prompt": f"a figure {name}"} for name in "abcde"]}


def test_each_run_builds_the_next_ones_and_says_how_many_are_left(project: ProjectFolder) -> None:
    project.job(**JOB, sheet={"cell": 16})
    project.job("places", **{**JOB, "prompt": {"prefix": "a place: "}})
    doit = project.doit
    planned = doit("why", "--json", "limit=2", "portraits").result
    assert [one["task"] for one in planned["images"]] == ["portraits:a", "portraits:b"]
    assert planned["total"]["left"] == 3
    run = doit("why", "--limit", "2", "portraits", "--check")
    assert (run.code, run.closing) == (1, "3 more are stale: doit portraits builds them")
    run = doit("--limit", "2")
    assert run.code == 0
    assert run.tasks("generated") == ["places:a", "places:b", "portraits:a", "portraits:b"]
    assert run.out.splitlines()[-3:-1] == [
        "portraits:sheet waits: 3 pictures that it is made from are not built yet",
        "6 more are stale: doit builds them",
    ]
    run = doit("--json", "limit=2", "portraits")
    assert (run.code, run.result["left"]) == (0, 1)
    assert {one["task"] for one in run.result["images"]} == {"portraits:c", "portraits:d"}
    run = doit("--limit=2", "portraits:*", "places:e")  # by tasks of their own
    assert run.tasks("generated") == ["places:e", "portraits:e"]
    assert run.tasks("derived") == ["portraits:sheet", "portraits:sheet:index"]
    assert doit().tasks("generated") == ["places:c", "places:d"]
    assert doit("--limit", "1").closing.startswith("12 fresh, nothing to do")
    run = doit("-a", "limit=1", "portraits")
    assert run.tasks("generated") == ["portraits:a"]
    assert "4 more are left: doit -a portraits builds them" in run.out


def test_a_reporter_of_doits_own_has_it_too_and_what_is_not_a_number_from_1_is_refused(project: ProjectFolder) -> None:
    project.job(**JOB, sheet={"cell": 16})
    doit = project.doit
    for words in (["--limit=0"], ["--limit=-1"], ["limit=many"], ["limit=1.5", "portraits"], ["--limit="]):
        run = doit(*words)
        assert (run.code, f"limit={words[0].rpartition('=')[2]}" in run.err) == (2, True)
    run = doit("why", "--limit", "0")
    assert (run.code, "--limit: expected none or a whole number from 1, found '0'" in run.out) == (2, True)
    assert not (project.root / "assets").exists()
    run = doit("-r", "json", "--limit", "2")
    assert run.code == 0
    assert json.loads(run.out)["err"].endswith("\n3 more are stale: doit builds them\n")
    project.write("pyproject.toml", "[tool.imagegen]\nlimit = 1\n")
    run = doit("portraits:sheet")
    assert run.tasks("generated") == ["portraits:c"]
    assert "2 more are stale: doit limit=none portraits:sheet builds them" in run.out
    assert sorted(project.calls()) == ["a", "b", "c"]
