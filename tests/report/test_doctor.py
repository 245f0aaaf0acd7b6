"""The doctor's rows that no whole project can bring about."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from imagegen import DISTRIBUTION, __version__
from imagegen.backends.base import Backend, Diagnosis
from imagegen.backends.placeholder import PlaceholderBackend
from imagegen.commands.doctor import as_lines
from imagegen.config.settings import Settings
from imagegen.errors import Problem
from imagegen.plan.request import Request
from imagegen.project import Project
from imagegen.report.doctor import Case, check_backends, check_machine, describe_installation, list_requirements
from imagegen.report.git import check_ignored
from tests.project_folder import picture
from tests.wheels import ROOT


def test_the_packages_that_imagegen_needs_are_there() -> None:
    rows = list(check_machine(list_requirements()))
    assert all(row.ok for row in rows)
    assert "doit " in rows[-1].found
    # of a checkout as it is now, and not as it was when pip installed it
    assert "rectpack>=0.2.2" in list_requirements()


def test_a_package_that_is_missing_or_too_old_is_told_with_the_command() -> None:
    missing, old = [row for row in check_machine(["no-such-thing>=1.0", "doit>=999", "Pillow>=1.0.0"]) if not row.ok]
    assert (missing.what, missing.found) == ("package no-such-thing", "not installed")
    assert missing.hint.endswith("-m pip install --upgrade 'no-such-thing>=1.0'")
    assert "older than 999" in old.found


def test_requirements_of_extras_are_not_asked_for() -> None:
    assert all(row.ok for row in check_machine(["no-such-thing>=1; extra == 'test'"]))


class PlugIn(Backend):
    """A backend of a package that knows nothing of the doctor."""

    name = "plugin"
    parameters = frozenset({"prompt"})

    def __init__(self, found: list[Problem] | Exception) -> None:
        self.found = found

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:  # noqa: ARG002
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.mark.parametrize(
    ("found", "row"),
    [
        ([], Diagnosis(True, "backend plugin", "its preflight finds nothing wrong")),
        ([Problem("", "no server", "start it")], Diagnosis(False, "backend plugin", "no server", "start it")),
        ([Problem("a", "no model")], Diagnosis(False, "backend plugin: a", "no model", "correct it")),
        (
            KeyError("oops"),
            Diagnosis(
                False,
                "backend plugin",
                "the backend failed: KeyError: 'oops'",
                "report it to the maintainer of its package",
            ),
        ),
    ],
)
def test_a_plug_in_without_rows_of_its_own_is_asked_for_its_preflight(
    tmp_path: Path, found: list[Problem] | Exception, row: Diagnosis
) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/j.yaml").write_text("backend: plugin\nitems: [{name: a, prompt: a}]\n")
    backend: Backend = PlugIn(found)
    project = Project(tmp_path, Settings(), {"plugin": lambda: backend})
    plans = project.plans()
    verdicts = [(output, project.verdict(output)) for plan in plans for output in plan.outputs]
    assert list(check_backends(Case(project, plans, [], verdicts))) == [row]


class Waiting(PlugIn):
    """Answers once another backend is asked too."""

    def __init__(self, name: str, others: Barrier) -> None:
        super().__init__([])
        self.name = name
        self.others = others

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        self.others.wait(60)
        return super().preflight(requests)


def test_all_backends_are_asked_at_once_and_their_rows_stay_in_order(tmp_path: Path) -> None:
    both = Barrier(2)
    backends: dict[str, Callable[[], Backend]] = {
        name: lambda name=name: Waiting(name, both)  # type: ignore[misc]
        for name in ("one", "two")
    }
    (tmp_path / "jobs").mkdir()
    for name in backends:
        (tmp_path / f"jobs/{name}.yaml").write_text(f"backend: {name}\nitems: [{{name: a, prompt: a}}]\n")
    project = Project(tmp_path, Settings(), backends)
    plans = project.plans()
    verdicts = [(output, project.verdict(output)) for plan in plans for output in plan.outputs]
    rows = list(check_backends(Case(project, plans, [], verdicts)))
    assert [(row.ok, row.what) for row in rows] == [(True, "backend one"), (True, "backend two")]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([Diagnosis(True, "a", "b")], "everything is in place"),
        ([Diagnosis(True, "a", "b", "c")], "1 warning; no job is blocked"),
        ([Diagnosis(False, "a", "b", "c", blocks=False)], "1 problem to fix; no job is blocked"),
        ([Diagnosis(False, "a", "b", "c")] * 2, "2 problems to fix"),
    ],
)
def test_the_closing_line_says_how_bad_it_is(rows: list[Diagnosis], message: str) -> None:
    assert as_lines(rows)[-1] == message


def test_no_row_steers_the_terminal() -> None:
    evil = "\x1b]0;title\x07"
    assert "\x1b" not in "".join(as_lines([Diagnosis(False, evil, evil, evil)]))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for arguments in (["init", "-q"], ["config", "core.excludesFile", str(tmp_path / "none")]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    (tmp_path / "jobs").mkdir()
    return tmp_path


def ignored_rows(root: Path, ignore: str, backend: str = "plugin", **settings: Any) -> list[tuple[bool, str, str]]:
    (root / ".gitignore").write_text(ignore)
    if backend:
        (root / "jobs/j.yaml").write_text(f"backend: {backend}\nitems: [{{name: a, prompt: a}}]\n")
    known: dict[str, Any] = {"plugin": lambda: PlugIn([]), "placeholder": PlaceholderBackend}
    project = Project(root, Settings(**settings), known)
    plans = project.plans()
    verdicts = [(output, project.verdict(output)) for plan in plans for output in plan.outputs]
    rows = list(check_ignored(Case(project, plans, [], verdicts)))
    assert not any(row.blocks and not row.ok for row in rows)
    return [(row.ok, row.found, row.hint) for row in rows]


@pytest.mark.parametrize("backend", ["plugin", "placeholder", ""], ids=["generator", "placeholder", "no job yet"])
def test_ignored_lock_files_are_wrong_where_images_are_committed(repository: Path, backend: str) -> None:
    ((ok, found, hint),) = ignored_rows(repository, "*.lock\n", backend)
    assert not ok
    assert found.startswith(f"ignores jobs/{'j' if backend else 'x'}.lock by the rule '*.lock' (.gitignore:1): ")
    assert hint == "add this line at the end of .gitignore: !jobs/*.lock"


def test_ignored_job_files_are_wrong_also_where_they_are_broken(repository: Path) -> None:
    (repository / "jobs/broken.yaml").write_text("a: [")
    (_, jobs, hint), (_, locks, _) = ignored_rows(repository, "/jobs\n")
    assert jobs.startswith("ignores jobs/broken.yaml, jobs/j.yaml by the rule '/jobs' (.gitignore:1): a clone")
    assert "jobs/broken.lock, jobs/j.lock" in locks
    assert hint == "edit line 1 of .gitignore so that it leaves jobs/*.yaml alone"


def test_ignored_images_are_a_warning_where_they_cost_something(repository: Path) -> None:
    ((ok, found, hint),) = ignored_rows(repository, "assets/\n")
    assert ok
    assert found.startswith(
        "ignores 1 image (assets/j/a.png) by the rule 'assets/' (.gitignore:1), and there is no shared"
    )
    assert "docs/shared-store.md" in hint
    assert ignored_rows(repository, "assets/\n", store="file:///mnt/art") == []
    assert ignored_rows(repository, "assets/\n", "placeholder") == []


def test_ignored_files_that_are_items_are_a_warning(repository: Path) -> None:
    (repository / "art").mkdir()
    (repository / "art/a.png").write_bytes(picture())
    (repository / "jobs/scans.yaml").write_text("items: {folder: art/}\nderive: {thumb: {width: 8}}\n")
    ((ok, found, _),) = ignored_rows(repository, "art/\n", "")
    assert ok
    assert found == (
        "ignores 1 file of items.folder (art/a.png) by the rule 'art/' (.gitignore:1): a clone doesn't have it"
    )


def test_whoever_ignores_images_and_lock_files_is_warned_of_what_is_generated_twice(repository: Path) -> None:
    ((ok, found, hint),) = ignored_rows(repository, "assets/\n*.lock\n")
    assert (ok, hint) == (True, "add this line at the end of .gitignore: !jobs/*.lock")
    assert "the images are ignored too, and a clone generates its own" in found
    assert [hint for *_, hint in ignored_rows(repository, "assets/\n*.lock\n", "placeholder")] == [""]


def test_outside_of_git_nothing_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    assert ignored_rows(tmp_path, "*\n") == []


def test_our_own_row_has_the_version_the_distribution_and_the_place() -> None:
    (row,) = [row for row in check_machine([]) if row.what == "imagegen"]
    assert row.found.startswith(f"{__version__} ({DISTRIBUTION}")
    assert row.found.endswith(f", in {ROOT / 'imagegen'})")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ('{"url": "file:///src/imagegen", "dir_info": {}}', " from file:///src/imagegen"),
        (
            '{"url": "https://me:secret@git.example.org/x.git", "vcs_info": {"vcs": "git", "commit_id": "0123456789abcdef"}}',
            " from https://git.example.org/x.git at 0123456789",
        ),
        ("", ""),
        ("{", ""),
        ("[]", ""),
        ('{"url": 1}', ""),
        ('{"vcs_info": null}', ""),
    ],
)
def test_what_it_was_installed_from_is_said_without_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: str, message: str
) -> None:
    folder = tmp_path / "doit_imagegen-9.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: 9\n")
    (folder / "direct_url.json").write_text(record)
    monkeypatch.syspath_prepend(tmp_path)
    assert describe_installation() == f"{__version__} ({DISTRIBUTION}{message}, in {ROOT / 'imagegen'})"


def test_the_other_package_of_the_name_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [row.what for row in check_machine([])] == ["Python", "imagegen"]
    (tmp_path / "imagegen-0.2.dist-info").mkdir()
    (tmp_path / "imagegen-0.2.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: imagegen\nVersion: 0.2\n")
    monkeypatch.syspath_prepend(tmp_path)
    row = list(check_machine([]))[-1]
    assert row.found == "imagegen 0.2 is installed too: another project's package of the same name"
    assert f"pip uninstall imagegen {DISTRIBUTION}, then install {DISTRIBUTION} again" in row.hint
