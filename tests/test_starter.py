"""What `imagegen init` does with each file that it finds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from imagegen.errors import ImagegenError
from imagegen.starter import (
    ATTRIBUTE_LINES,
    DODO,
    IGNORE_RULES,
    Step,
    append_lines,
    find_missing_attributes,
    find_missing_rules,
    plan_files,
    write_files,
)
from imagegen.state.lockfile import ATTRIBUTES

__all__ = []


AGENTS = "# imagegen\n"
FILES = [".gitattributes", ".gitignore", "AGENTS.md", "dodo.py", "job.schema.json", "jobs/icons.yaml"]


def init(root: Path) -> dict[str, Step]:
    steps = plan_files(root, AGENTS)
    write_files(root, steps)
    return {step.path: step for step in steps}


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_an_empty_folder_gets_all_files_and_a_second_time_changes_none(tmp_path: Path) -> None:
    assert {step.state for step in init(tmp_path).values()} == {"created"}
    before = files(tmp_path)
    assert sorted(before) == FILES
    assert {step.state for step in init(tmp_path).values()} == {"already there"}
    assert files(tmp_path) == before


def test_the_first_job_has_its_editor_line_and_leaves_the_backend_to_the_project(tmp_path: Path) -> None:
    init(tmp_path)
    text = (tmp_path / "jobs/icons.yaml").read_text("utf-8")
    assert text.startswith("# yaml-language-server: $schema=../job.schema.json\n")
    assert "backend" not in yaml.safe_load(text)
    assert "`doit sd:setup`, then `doit backend=sd`" in text


def test_files_that_git_reads_are_completed_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_bytes(b"*.log\r\n/.imagegen\r\ntools/")
    (tmp_path / ".gitattributes").write_bytes(b"*.png binary")
    steps = init(tmp_path)
    assert (steps[".gitignore"].state, steps[".gitattributes"].state) == ("completed", "completed")
    added = b".doit.db*\r\n.venv/\r\n__pycache__/\r\nassets/gallery/\r\n"
    assert (tmp_path / ".gitignore").read_bytes() == b"*.log\r\n/.imagegen\r\ntools/\r\n" + added
    assert (tmp_path / ".gitattributes").read_bytes() == (
        b"*.png binary\njobs/*.lock merge=union text eol=lf\njobs/*.review merge=union text eol=lf\n"
    )
    assert init(tmp_path)[".gitignore"].state == "already there"


def test_a_completed_file_stays_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / ".gitignore"
    path.write_text("*.log\n")
    path.chmod(0o640)
    before = path.stat()
    init(tmp_path)
    assert (path.stat().st_ino, path.stat().st_mode) == (before.st_ino, before.st_mode)


@pytest.mark.parametrize("data", ["\ufeff*.log\n".encode("utf-16-le"), "*.log\n".encode("utf-16")])
def test_a_file_that_git_cannot_read_is_left(tmp_path: Path, data: bytes) -> None:
    (tmp_path / ".gitignore").write_bytes(data)
    step = init(tmp_path)[".gitignore"]
    assert (step.state, (tmp_path / ".gitignore").read_bytes()) == ("left", data)
    assert "save it as UTF-8" in step.note


def test_a_symbolic_link_is_not_written_through(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("*.log\n")
    root = tmp_path / "project"
    root.mkdir()
    (root / ".gitignore").symlink_to(outside)
    assert init(root)[".gitignore"].state == "left"
    assert outside.read_text() == "*.log\n"


@pytest.mark.parametrize(
    "text",
    [
        DODO,
        "from imagegen.tasks import *\nx = '\\d'\n",
        "import imagegen.tasks as ours\nDOIT_CONFIG, task_jobs = ours.DOIT_CONFIG, ours.task_jobs\n",
        "from imagegen import tasks\nDOIT_CONFIG = tasks.DOIT_CONFIG\ntask_jobs = tasks.task_jobs\n",
        "from imagegen import tasks\nglobals().update(vars(tasks))\n",
        "from imagegen.tasks import DOIT_CONFIG, task_jobs\n",
        "\ufefffrom imagegen.tasks import *\r\n",
        "# coding: latin-1\n# \xe9\nfrom imagegen.tasks import *\n",
    ],
)
def test_a_dodo_file_with_our_tasks_is_already_there(tmp_path: Path, text: str) -> None:
    (tmp_path / "dodo.py").write_text(text, encoding="latin-1" if "latin" in text else "utf-8")
    assert init(tmp_path)["dodo.py"].state == "already there"


@pytest.mark.parametrize("module", ["build/images.py", "build/images/__init__.py"])
def test_a_dodo_file_may_take_our_tasks_through_a_module_of_its_own(tmp_path: Path, module: str) -> None:
    (tmp_path / "dodo.py").write_text("from build.images import *\n")
    (tmp_path / module).parent.mkdir(parents=True)
    (tmp_path / module).write_text("import dodo\nfrom imagegen.tasks import *\n")
    assert init(tmp_path)["dodo.py"].state == "already there"
    (tmp_path / module).write_text("import dodo, os\n")
    assert init(tmp_path)["dodo.py"].state == "left"
    (tmp_path / module).write_text("def x(:\n")
    assert f"{Path(module).name}:1 is not valid Python" in init(tmp_path)["dodo.py"].note


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "add the line: from imagegen.tasks import *"),
        ("def task_x(): ...\n", "add the line: from imagegen.tasks import *"),
        ("# from imagegen.tasks import *\n", "add the line: from imagegen.tasks import *"),
        ("from imagegen.tasks import task_why\n", "add the line: from imagegen.tasks import *"),
        ("import imagegen.tasks as ours\n", "add the line: from imagegen.tasks import *"),
        ("from imagegen import tasks\n", "add the line: from imagegen.tasks import *"),
        ("x = 1\ndef x(:\n", "dodo.py:2 is not valid Python: correct it"),
        ("x = '\x00'\n", "dodo.py is not valid Python"),
        ("\xe9 = 1\n", "is not valid Python"),
        ("(" * 5000, "is not valid Python"),
    ],
)
def test_another_dodo_file_is_left_and_the_line_is_said(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "dodo.py").write_text(text, encoding="latin-1")
    step = init(tmp_path)["dodo.py"]
    assert (step.state, (tmp_path / "dodo.py").read_text("latin-1")) == ("left", text)
    assert message in step.note


@pytest.mark.parametrize("name", ["a.yaml", "a.yml", "a.json", "icons.yaml"])
def test_where_there_are_jobs_none_is_added_also_where_they_are_broken(tmp_path: Path, name: str) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / name).write_text("a: [")
    assert init(tmp_path)["jobs/"].note == "1 job, so no first job is added"
    assert files(tmp_path / "jobs") == {name: b"a: ["}


@pytest.mark.parametrize("taken", ["jobs/icons.lock", "jobs/icons.YAML", "assets/icons/rope.png", "assets/icons"])
def test_a_first_job_takes_no_name_and_no_folder_that_is_in_use(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).parent.mkdir(parents=True)
    (tmp_path / taken).write_text("somebody's")
    init(tmp_path)
    assert (tmp_path / taken).read_text() == "somebody's"
    assert "assets/first-icons/" in (tmp_path / "jobs/first-icons.yaml").read_text()


def test_a_first_job_takes_no_name_of_an_own_task(tmp_path: Path) -> None:
    (tmp_path / "dodo.py").write_text("from imagegen.tasks import *\ndef task_icons(): ...\n")
    assert "jobs/first-icons.yaml" in init(tmp_path)


@pytest.mark.parametrize("text", ["{}", '{"$comment": "Written by \'doit schema\'. Do not edit."}'])
def test_a_schema_that_differs_is_left(tmp_path: Path, text: str) -> None:
    (tmp_path / "job.schema.json").write_text(text)
    step = init(tmp_path)["job.schema.json"]
    assert (step.state, (tmp_path / "job.schema.json").read_text()) == ("left", text)
    assert "doit schema" in step.note


@pytest.mark.parametrize(("text", "state"), [("# Ours", "left"), ("the images: see imagegen", "already there")])
def test_a_page_for_agents_is_never_changed(tmp_path: Path, text: str, state: str) -> None:
    (tmp_path / "AGENTS.md").write_text(text)
    step = init(tmp_path)["AGENTS.md"]
    assert (step.state, (tmp_path / "AGENTS.md").read_text()) == (state, text)
    assert ("python -m imagegen skill" in step.note) == (state == "left")


@pytest.mark.parametrize(
    ("obstacle", "message"),
    [
        ("jobs", "jobs: is a file"),
        (".gitignore/x", ".gitignore: is a folder"),
        (".gitattributes/x", ".gitattributes: is a folder"),
        ("dodo.py/x", "dodo.py: is a folder"),
        ("job.schema.json/x", "job.schema.json: is a folder"),
        ("AGENTS.md/x", "AGENTS.md: is a folder"),
    ],
)
def test_what_is_in_the_way_is_said_and_nothing_is_written(tmp_path: Path, obstacle: str, message: str) -> None:
    (tmp_path / obstacle).parent.mkdir(exist_ok=True)
    (tmp_path / obstacle).touch()
    with pytest.raises(ImagegenError, match=message):
        plan_files(tmp_path, AGENTS)


@pytest.mark.parametrize("name", ["jobs", "dodo.py", ".gitignore"])
def test_a_symbolic_link_that_leads_nowhere_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(ImagegenError, match="a symbolic link that leads nowhere"):
        plan_files(tmp_path, AGENTS)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user may write everywhere")
def test_a_folder_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(
        ImagegenError, match=r"^this folder is read-only, and dodo\.py, jobs/icons\.yaml, .* would go there"
    ):
        plan_files(tmp_path, AGENTS)


def test_the_rules_keep_out_what_this_repository_keeps_out_for_its_users() -> None:
    ours = (Path(__file__).parents[1] / ".gitignore").read_text("utf-8").splitlines()
    assert {rule for rule in ours if rule.startswith(("tools/", ".imagegen", ".doit"))} <= set(IGNORE_RULES)


@pytest.mark.parametrize(
    ("rule", "written"),
    [
        (".imagegen/", ".imagegen/"),
        (".imagegen/", ".imagegen"),
        (".imagegen/", "/.imagegen/"),
        (".imagegen/", "**/.imagegen"),
        (".imagegen/", ".imagegen/*"),
        (".imagegen/", ".imagegen/**"),
        (".imagegen/", ".imagegen/  "),
        (".imagegen/", ".image*/"),
        (".imagegen/", ".*"),
        (".imagegen/", "\ufeff.imagegen/"),
        (".imagegen/", "[.]imagegen/"),
        (".imagegen/", "\\.imagegen"),
        ("assets/gallery/", "assets/"),
        ("assets/gallery/", "assets/*"),
        ("assets/gallery/", "assets/galler?"),
        ("assets/gallery/", "**/gallery/"),
        ("assets/gallery/", "gallery"),
        ("tools/ComfyUI/", "tools"),
        ("tools/.ollama-*/", "tools/.*"),
        ("tools/.sd-*/", "tools/.*"),
        ("__pycache__/", "*.pyc"),
        ("__pycache__/", "*.py[cod]"),
        ("tools/ollama/", "!tools/ollama/"),  # whoever brings it back means that
        (".venv/", "*"),
    ],
)
def test_a_rule_that_is_there_in_another_spelling_is_not_missing(rule: str, written: str) -> None:
    assert find_missing_rules(f"# ours\n\n{written}\n", [rule]) == []
    assert find_missing_rules(f"node_modules/\r\n{written}\r\n", [rule]) == []


@pytest.mark.parametrize(
    ("rule", "written"),
    [
        (".imagegen/", "# .imagegen/"),
        (".imagegen/", "imagegen/"),
        (".imagegen/", "x/.imagegen/"),
        (".imagegen/", "*.pyc"),
        ("assets/gallery/", "/gallery/"),
        ("assets/gallery/", "assets/gallery.html"),
        ("assets/gallery/", "asset"),
        ("tools/ComfyUI/", "tools/comfyui/"),
        (".venv/", "[z-a]"),
        (".venv/", "["),
        (".venv/", "/"),
        (".venv/", "\\"),
    ],
)
def test_a_rule_for_other_files_does_not_stand_for_ours(rule: str, written: str) -> None:
    assert find_missing_rules(f"{written}\n", [rule]) == [rule]


def test_an_empty_file_lacks_all_and_a_completed_one_nothing() -> None:
    assert find_missing_rules("", IGNORE_RULES) == IGNORE_RULES
    assert find_missing_rules("\n".join(IGNORE_RULES), IGNORE_RULES) == []
    assert find_missing_attributes("", ATTRIBUTE_LINES) == ATTRIBUTE_LINES
    assert find_missing_attributes("\n".join(ATTRIBUTE_LINES), ATTRIBUTE_LINES) == []


@pytest.mark.parametrize(
    "text",
    [
        "jobs/*.lock text eol=lf merge=union",
        "/jobs/*.lock\tmerge=union  eol=lf",
        '"jobs/*.lock" merge=union eol=lf\r',
        "*.lock merge=union text eol=lf",
        "jobs/** merge=union eol=lf",
        "* text=auto eol=lf\n*.lock merge=union",
        "*.lock binary\njobs/*.lock merge=union text eol=lf",
    ],
)
def test_attributes_that_the_lock_files_have_already_are_not_missing(text: str) -> None:
    assert find_missing_attributes(text, [ATTRIBUTES]) == []


@pytest.mark.parametrize(
    "text",
    [
        "*.lock -diff",
        "*.lock binary",
        "# jobs/*.lock merge=union text eol=lf",
        "jobs/*.lock merge=union",
        "jobs/*.lock merge=union text eol=lf\n*.lock -merge",
        "*.webp merge=union eol=lf",
    ],
)
def test_attributes_of_other_files_or_other_values_are_missing(text: str) -> None:
    assert find_missing_attributes(text, [ATTRIBUTES]) == [ATTRIBUTES]


@pytest.mark.parametrize(
    ("data", "appended"),
    [
        (b"", b"a\nb\n"),
        (b"x\n", b"a\nb\n"),
        (b"x", b"\na\nb\n"),
        (b"x\r\n", b"a\r\nb\r\n"),
        (b"x\r\ny", b"\r\na\r\nb\r\n"),
    ],
)
def test_lines_are_appended_with_the_line_ends_of_the_file(data: bytes, appended: bytes) -> None:
    assert append_lines(data, ["a", "b"]) == appended
