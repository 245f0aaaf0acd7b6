"""Two people, each with a clone of their own, who each change images, and git's merge of it: the file that was chosen decides."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from imagegen.execute.prune import find_unused, prune
from imagegen.execute.run import run
from imagegen.images.image_file import verify
from imagegen.plan.output import Output
from imagegen.plan.record import Decision
from imagegen.project import Project
from imagegen.state.lockfile import ATTRIBUTES, read_lock_file
from tests.marks import long
from tests.project_folder import SMALL_JOB, ProjectFolder

SIZE = {"width": 32, "height": 32}
MALLSING, YRR = "portraits:mallsing", "portraits:yrr"


class Person(ProjectFolder):
    """A clone, and who works in it."""

    style = "merge"
    """Of conflict markers."""

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "-qm", "work")

    def merge(self, other: Person) -> list[str]:
        """Merge the other's work; the files in which git finds conflicts."""
        self.git("fetch", "-q", str(other.root), "main")
        self.git("-c", f"merge.conflictStyle={self.style}", "merge", "-q", "--no-edit", "FETCH_HEAD", may_fail=True)
        return sorted(set(self.git("diff", "--name-only", "--diff-filter=U").split()))

    def choose(self, side: str, *paths: str) -> None:
        """Take a side's files, `ours` or `theirs`."""
        self.git("checkout", f"--{side}", "--", *paths)
        self.git("add", "--", *paths)

    def clone(self, root: Path) -> Person:
        self.git("clone", "-q", ".", str(root))
        return Person(root, SMALL_JOB)

    def is_right(self) -> None:
        """Everything is fresh, nothing is made, the lock file says it in a line an image; a clone agrees."""
        assert self.build() == {}
        assert set(self.states().values()) == {"fresh"}
        assert not self.project().lock("portraits").needs_compaction
        self.commit()
        clone = self.clone(self.root.parent / f"{self.root.name}-clone")
        assert (clone.build(), len(clone.calls())) == ({}, 0)
        assert clone.git("status", "--porcelain") == ""


def two(folder: Path, attributes: str = ATTRIBUTES, **job: Any) -> tuple[Person, Person]:
    """Two clones of one project whose images are made."""
    ours = Person(folder / "ours", SMALL_JOB)
    ours.git("init", "-q", "-b", "main")
    (ours.root / ".gitattributes").write_text(f"{attributes}\n")
    (ours.root / ".gitignore").write_text(".imagegen/\n")
    ours.job(**job)
    ours.build()
    ours.commit()
    theirs = ours.clone(folder / "theirs")
    assert theirs.build() == {}
    return ours, theirs


def items(mallsing: str = "a tall figure", yrr: str = "a small figure", name: str = "Yrr") -> list[dict[str, str]]:
    return [{"name": "Mallsing", "prompt": mallsing}, {"name": name, "prompt": yrr}]


@pytest.mark.parametrize(
    ("job", "image"), [("theirs", "theirs"), ("ours", "theirs"), long("ours", "ours"), long("theirs", "ours")]
)
def test_where_both_changed_the_same_image_the_file_that_was_chosen_decides(
    tmp_path: Path, job: str, image: str
) -> None:
    ours, theirs = two(tmp_path)
    both = {"ours": ours, "theirs": theirs}
    for person, prompt in ((ours, "a very tall figure"), (theirs, "a figure of stone")):
        person.job(items=items(mallsing=prompt))
        assert person.build() == {MALLSING: "generated"}
        person.commit()
    files = {side: person.image("mallsing").read_bytes() for side, person in both.items()}
    assert ours.merge(theirs) == ["assets/portraits/mallsing.png", "jobs/portraits.yaml"]
    ours.choose(job, "jobs/portraits.yaml")
    ours.choose(image, "assets/portraits/mallsing.png")
    assert ours.image("mallsing").read_bytes() == files[image]
    if job != image:  # the job asks for the other one: that is here in the store, or has to be made
        ours.build()
        assert ours.is_kept(files[image])
    assert ours.image("mallsing").read_bytes() == files[job]
    ours.is_right()
    assert len(ours.calls()) == 2 + 1 + (job == "theirs" and image == "ours")


MERGES = [
    (decision, later, chosen)
    for decision in ("reroll", "draw", "accept", "pick")
    for later in ("ours", "theirs")
    for chosen in ("ours", "theirs")
]
SHORT = {
    ("reroll", "theirs", "ours"),
    ("accept", "theirs", "ours"),
    ("pick", "theirs", "ours"),
    ("draw", "ours", "theirs"),
}


@pytest.mark.parametrize(("decision", "later", "chosen"), [one if one in SHORT else long(*one) for one in MERGES])
def test_where_both_decided_about_the_same_image_the_file_that_was_chosen_decides(
    tmp_path: Path, decision: str, later: str, chosen: str
) -> None:
    job: dict[str, Any] = {"variants": 3} if decision == "pick" else {}
    job |= {"generate": SIZE | {"seed": {"mode": "random"}}} if decision == "draw" else {}
    ours, theirs = two(tmp_path, **job)
    both = {"ours": ours, "theirs": theirs}
    name = "new" if decision == "draw" else "mallsing"
    for number, person in enumerate([ours, theirs] if later == "theirs" else [theirs, ours]):
        if decision == "reroll":
            person.reroll(MALLSING)
            person.reroll(YRR)  # twice, so that it has a decision that it replaced
            person.reroll(MALLSING)
        elif decision == "draw":
            person.job(items=[*items(), {"name": "New", "prompt": "new"}], **job)
        elif decision == "accept":
            person.touch_up("mallsing", ["red", "blue"][number])
            person.accept(MALLSING)
        else:
            person.pick("mallsing", 2 + number)
        person.build()
        person.commit()
    wanted = both[chosen].image(name).read_bytes()
    calls = len(ours.calls())
    conflicts = ours.merge(theirs)
    assert f"assets/portraits/{name}.png" in conflicts
    assert {path.rpartition(".")[2] for path in conflicts} == {"png"}
    ours.choose(chosen, *conflicts)
    assert len(ours.project().lock("portraits").conflicts) == 0, "planning settles them"
    ours.is_right()
    assert ours.image(name).read_bytes() == wanted
    assert len(ours.calls()) == calls


def test_a_build_in_the_middle_of_a_merge_keeps_the_lines_of_both_sides(tmp_path: Path) -> None:
    ours, theirs = two(tmp_path)
    for person in (ours, theirs):
        person.reroll(MALLSING)
        person.build()
        person.commit()
    chosen = theirs.image("mallsing").read_bytes()
    assert ours.merge(theirs) == ["assets/portraits/mallsing.png"]
    assert ours.build() == {}
    ours.choose("theirs", "assets/portraits/mallsing.png")
    ours.git("add", "--all")
    assert ours.build() == {}
    assert ours.image("mallsing").read_bytes() == chosen
    ours.is_right()


def test_a_reroll_that_was_killed_before_its_image_stands(tmp_path: Path) -> None:
    ours, _ = two(tmp_path)
    ours.reroll(MALLSING)
    ours.build()
    seed = ours.reroll(MALLSING)  # and the image is still that of the one before
    assert ours.outputs()[MALLSING].request.seed == seed
    assert ours.build() == {MALLSING: "generated"}


def test_a_merge_that_a_broken_job_keeps_from_being_judged_keeps_both_decisions(tmp_path: Path) -> None:
    ours, theirs = two(tmp_path)
    for person in (ours, theirs):
        person.reroll(MALLSING)
        person.build()
        person.commit()
    wanted = ours.image("mallsing").read_bytes()
    ours.choose("ours", *ours.merge(theirs))
    whole = (ours.root / "jobs/portraits.yaml").read_bytes()
    (ours.root / "jobs/portraits.yaml").write_bytes(whole + b"itemz: []\n")
    project = ours.project()
    assert project.lock("portraits").needs_compaction
    run(project, [], lambda _: None)  # folds what it read
    (ours.root / "jobs/portraits.yaml").write_bytes(whole)
    assert len(read_lock_file("", ours.root / "jobs/portraits.lock").conflicts) == 1
    ours.is_right()
    assert ours.image("mallsing").read_bytes() == wanted


def test_an_item_renamed_on_one_branch_and_changed_on_the_other(tmp_path: Path) -> None:
    ours, theirs = two(tmp_path)
    ours.job(items=items(name="Yr"))
    assert ours.build() == {"portraits:yr": "generated"}
    prune_all(ours)
    ours.commit()
    theirs.job(items=items(yrr="a figure of stone"))
    assert theirs.build() == {YRR: "generated"}
    changed = theirs.image("yrr").read_bytes()
    theirs.commit()
    conflicts = ours.merge(theirs)
    assert "jobs/portraits.lock" not in conflicts
    ours.job(items=items(name="Yr", yrr="a figure of stone"))
    ours.git("add", "--all")
    assert ours.build() == {"portraits:yr": "generated"}
    assert ours.is_kept(changed) or not ours.image("yrr").exists()
    prune_all(ours)
    assert sorted(path.name for path in (ours.root / "assets/portraits").iterdir()) == ["mallsing.png", "yr.png"]
    ours.is_right()


def prune_all(person: Person) -> None:
    project = person.project()
    prune(project, find_unused(project, project.plans(), candidates=False))


def test_doubled_lines_of_a_merge_are_folded_to_what_they_were(tmp_path: Path) -> None:
    ours, _ = two(tmp_path)
    ours.reroll(MALLSING)
    ours.build()
    whole = ours.lock()
    (ours.root / "jobs/portraits.lock").write_bytes(whole + b"".join(reversed(whole.splitlines(keepends=True))))
    assert ours.build() == {}
    assert ours.lock() == whole


@pytest.mark.parametrize("style", ["merge", "diff3"])
def test_conflict_markers_are_told_with_their_line_and_are_right_once_mended(tmp_path: Path, style: str) -> None:
    ours, theirs = two(tmp_path, attributes="")
    ours.style = style
    for person in (ours, theirs):
        person.reroll(MALLSING)
        person.build()
        person.commit()
    wanted = ours.image("mallsing").read_bytes()
    assert ours.merge(theirs) == ["assets/portraits/mallsing.png", "jobs/portraits.lock"]
    before = ours.lock()
    (problem,) = ours.project().plans()[0].problems
    at = before.splitlines().index(b"<<<<<<< HEAD") + 1
    assert problem.where == f"jobs/portraits.lock:{at}"
    assert problem.what == "has unresolved merge-conflict markers"
    assert "delete the marker lines" in problem.hint
    assert ours.lock() == before
    lines = [line for line in before.splitlines(keepends=True) if line[:1] not in b"<=>|"]
    (ours.root / "jobs/portraits.lock").write_bytes(b"".join(lines))
    ours.git("add", "--all")
    ours.is_right()
    assert ours.image("mallsing").read_bytes() == wanted


def test_a_lock_file_of_a_newer_release_stops_its_job_whatever_is_asked_and_no_other(tmp_path: Path) -> None:
    project = ProjectFolder(tmp_path / "project")
    project.build_job(variants=2)
    project.job("other", items=[{"name": "X", "prompt": "x"}])
    lock = project.root / "jobs/portraits.lock"
    newer = lock.read_bytes() + b'{"v":2,"of":"a later release"}\n'
    lock.write_bytes(newer)
    project.job(variants=2, generate={"width": 32, "height": 32})
    before = {path: path.read_bytes() for path in (project.root / "assets").rglob("*.png")}
    (project.root / "assets/portraits/yrr-v1.png").unlink()
    del before[project.root / "assets/portraits/yrr-v1.png"]
    run = project.doit()
    assert "jobs/portraits.lock:7: written by a newer imagegen (line format 2, this one reads up to 1)" in run.out
    assert "upgrade imagegen here: docs/your-repository.md" in run.out
    assert (run.code != 0, run.tasks("generated")) == (True, ["other:x"])
    assert "the job is broken" in project.doit("clean", "portraits").out
    refused = project.doit("prune", "--yes")
    assert (refused.code != 0, "written by a newer imagegen" in refused.out) == (True, True)
    after = {path: path.read_bytes() for path in (project.root / "assets/portraits").rglob("*")}
    assert (lock.read_bytes(), after) == (newer, before)


def test_the_lock_file_of_the_first_release_is_read_and_nothing_is_made_anew(tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).with_name("first_release"), tmp_path / "project")
    jobs = tmp_path / "project/jobs"
    (jobs / "portraits.lock.jsonl").rename(jobs / "portraits.lock")
    shutil.copytree(tmp_path / "project/images", tmp_path / "project/assets/portraits")
    folder = ProjectFolder(tmp_path / "project", SMALL_JOB)
    before = folder.lock()
    assert (folder.build(), len(folder.calls()), folder.lock()) == ({}, 0, before)
    assert set(folder.states().values()) == {"fresh"}
    folder.image("yrr").unlink()
    assert folder.build() == {YRR: "generated"}, "from its own drawn seed, in this clone without a store"
    first, second = before.splitlines()[:2]
    assert folder.lock().splitlines()[:2] == [first, second]
    assert before.splitlines()[2] in folder.lock().splitlines()
    for path in (tmp_path / "project/assets").rglob("*.png"):
        verify(path.read_bytes())


def test_who_decided_nothing_gets_what_the_other_decided_though_it_is_not_drawn_yet(tmp_path: Path) -> None:
    ours, theirs = two(tmp_path)
    for person in (ours, theirs):
        person.git("branch", "-q", "before")
    theirs.reroll(MALLSING)
    theirs.build()
    seed = theirs.reroll(MALLSING)  # and no image of it yet
    theirs.commit()
    ours.reroll(YRR)
    ours.build()
    ours.commit()
    assert ours.merge(theirs) == []
    assert ours.outputs()[MALLSING].request.seed == seed
    assert ours.build() == {MALLSING: "generated"}
    ours.is_right()


def test_many_rivals_are_judged_in_one_go(tmp_path: Path) -> None:
    many = [{"name": f"item {number}", "prompt": "a figure"} for number in range(20)]
    ours, theirs = two(tmp_path, items=many)
    for person in (ours, theirs):
        for number in range(20):
            person.reroll(f"portraits:item-{number}")
        person.build()
        person.commit()
    ours.choose("theirs", *ours.merge(theirs))
    known = ours.project()
    project = Project(ours.root, known.settings, known.registry)
    counted: list[int] = []

    def planned(decisions: Collection[Decision]) -> list[Output]:
        counted.append(len(decisions))
        return []

    project.choose_decisions("portraits", planned)
    assert counted == [20, 20], "the job is planned once with each side's, not for each rival"
    (plan,) = Project(ours.root, known.settings, known.registry).plans()
    assert len([note for note in plan.notes if "rerolled on both merged branches" in note]) == 20
    ours.is_right()
