"""Alternatives and wildcards in prompts: resolved text is what is fingerprinted, recorded and drawn."""

from __future__ import annotations

from tests.project_folder import ProjectFolder

ITEMS = [{"name": f"Item {n}", "prompt": "a {red|green} cloak, __hair__ hair"} for n in range(8)]


def prompts(project: ProjectFolder) -> dict[str, str]:
    return {
        line["output"]: line["request"]["prompt"] for line in project.lines() if "output" in line and "path" in line
    }


def test_an_image_is_drawn_with_the_text_that_its_seed_decides(project: ProjectFolder) -> None:
    project.write("jobs/wildcards/hair.txt", "# colours\nblack\nwhite\n")
    project.build_job(
        items=ITEMS,
        prompt={"suffix": "by __hair__ light"},
        generate={"width": 64, "height": 64, "negative": "{hands|feet}"},
    )
    before = prompts(project)
    ways = {
        f"a {c} cloak, {h} hair, by {light} light"
        for c in ("red", "green")
        for h in ("black", "white")
        for light in ("black", "white")
    }
    assert set(before.values()) <= ways
    assert len(set(before.values())) >= 3
    assert {line["request"]["negative"] for line in project.lines()} == {"hands", "feet"}
    assert project.doit().closing.startswith("8 fresh")
    # the snapshot notices the file; and only images that draw the new line are stale
    project.write("jobs/wildcards/hair.txt", "black\nwhite\ngrey\n")
    run = project.doit()
    after = prompts(project)
    assert {slug for slug in after if after[slug] != before[slug]} == {
        task.split(":")[1] for task in run.tasks("generated")
    }
    assert 1 <= len(run.tasks("generated")) < 8
    assert all("grey" in after[task.split(":")[1]] for task in run.tasks("generated"))
    project.write("jobs/wildcards/hair.txt", "black\nwhite\n")
    assert len(project.doit().tasks("restored")) == len(run.tasks("generated"))


def test_a_file_that_is_new_counts_where_a_pattern_matches_it(project: ProjectFolder) -> None:
    project.write("jobs/wildcards/hair-cold.txt", "grey\n")
    project.build_job(items=[{"name": "Item", "prompt": "{2$$ and $$__hair*__}"}])
    assert set(prompts(project).values()) == {"grey"}
    project.write("jobs/wildcards/hair-warm.txt", "red\n")
    assert project.doit().tasks("generated") == ["portraits:item"]
    assert set(prompts(project).values()) <= {"grey and red", "red and grey"}


def test_a_random_seed_decides_the_prompt_when_it_is_drawn(project: ProjectFolder) -> None:
    project.write("jobs/wildcards/hair.txt", "black\nwhite\n")
    project.build_job(items=ITEMS[:3], generate={"width": 64, "height": 64, "seed": {"mode": "random"}})
    assert all("{" not in text and "__" not in text for text in prompts(project).values())
    assert len(project.calls()) == 3
    assert project.doit().closing.startswith("3 fresh")
    listed = project.doit("list", "--all", "--status", "portraits").out
    assert [line[0] for line in listed.splitlines() if "portraits:" in line] == ["U"] * 3


def test_a_missing_wildcard_is_refused_by_name_before_anything_is_drawn(project: ProjectFolder) -> None:
    project.write("jobs/wildcards/hairs.txt", "black\n")
    project.job(items=ITEMS[:1])
    run = project.doit()
    assert run.code != 0
    assert "prompt: there is no jobs/wildcards/hair.txt for __hair__; did you mean 'hairs'?" in run.out
    assert project.calls("started") == []
    project.write("jobs/wildcards/hair.txt", "__hairs__\n")
    assert project.doit().tasks("generated") == ["portraits:item-0"]


def test_a_one_off_prompt_has_them_too(project: ProjectFolder) -> None:
    run = project.doit(
        "image",
        "--prompt",
        "{a raven|a raven}",
        "--backend",
        "scripted",
        "--name",
        "x",
        "--width",
        "64",
        "--height",
        "64",
    )
    assert run.tasks("generated") == ["image:x"]
    assert project.lines("image")[0]["request"]["prompt"] == "a raven"
