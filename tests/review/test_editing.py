from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from imagegen.project import JobPlan, Project
from imagegen.review.editing import Editor
from imagegen.state.mutex import hold
from tests.report.gallery.studio import Studio

JOB = """\
# the portraits
backend: scripted
generate: {width: 48, height: 64, steps: 20}
prompt: {suffix: oil on linen}
items:
  - name: Mallsing  # the tall one
    prompt: a tall figure with a {red|blue} cloak  # as in the book

  - name: Yrr
    prompt: >-
      a small figure
      with a lantern
    seed: 7
"""


class Desk:
    """A studio, and an editor on it."""

    def __init__(self, root: Path) -> None:
        self.studio = Studio(root)
        self.root = root
        self.editor = Editor(root, self.open)
        self.write(JOB)

    def open(self, instead: Mapping[str, bytes]) -> tuple[Project, list[JobPlan]]:
        project, _ = self.studio.opened()
        project = Project(project.root, project.settings, project.registry)
        project.inputs.instead = instead
        return project, project.plans()

    def write(self, text: str, file: str = "jobs/portraits.yaml") -> None:
        (self.root / file).parent.mkdir(parents=True, exist_ok=True)
        (self.root / file).write_bytes(text.encode())

    def text(self, file: str = "jobs/portraits.yaml") -> str:
        return (self.root / file).read_bytes().decode()

    def ask(self, what: str, task: str = "portraits:mallsing", **body: Any) -> dict[str, Any]:
        status, said = self.editor.answer(what, {"task": task, **body})
        json.dumps(said)
        return {"status": status, **said}

    def fields(self, task: str = "portraits:mallsing") -> dict[str, dict[str, Any]]:
        return {field["key"]: field for field in self.ask("read", task)["fields"]}

    def preview(self, task: str = "portraits:mallsing", **values: str) -> dict[str, Any]:
        return self.ask("preview", task, values=values)

    def save(self, task: str = "portraits:mallsing", **values: str) -> dict[str, Any]:
        return self.ask("write", task, values=values, sha256=self.ask("read", task)["sha256"])


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "p")


def words(said: dict[str, Any]) -> list[str]:
    return ["".join(text for text, _ in line) for line in said["why"]["lines"]]


def test_the_fields_are_those_that_the_backend_honours_each_with_where_its_value_comes_from(desk: Desk) -> None:
    fields = desk.fields()
    assert "clip_skip" not in fields
    assert fields["prompt"]["value"] == "a tall figure with a {red|blue} cloak"
    assert fields["prompt"]["note"] == "The job puts after it: oil on linen"
    assert (fields["steps"]["value"], fields["steps"]["now"], fields["steps"]["note"]) == (
        "",
        "20",
        "from the job",
    )
    assert (fields["steps"]["least"], fields["steps"]["most"]) == (1, 10_000)
    assert (fields["cfg"]["now"], fields["cfg"]["note"]) == ("7", "the default")
    assert fields["seed"]["note"] == "by the job's rule, by-name"
    assert fields["seed"]["now"].isdigit()
    assert desk.fields("portraits:yrr")["seed"]["value"] == "7"
    assert desk.fields("portraits:yrr")["prompt"]["value"] == "a small figure with a lantern"


def test_a_preview_shows_the_diff_and_what_why_says_and_writes_nothing(desk: Desk) -> None:
    desk.studio.build()
    said = desk.preview(prompt="a tall figure with a grey cloak", steps="30")
    assert said["problems"] == []
    assert [line for line in said["diff"] if line[0] in "+-"][2:] == [
        "-    prompt: a tall figure with a {red|blue} cloak  # as in the book",
        "+    prompt: a tall figure with a grey cloak  # as in the book",
        "+    steps: 30",
    ]
    assert said["why"]["build"] == ["portraits:mallsing"]
    assert said["why"]["others"] == []
    assert any("steps: 20 → 30" in line for line in words(said))
    assert desk.text() == JOB


def test_what_is_written_is_what_was_shown_and_can_be_undone(desk: Desk) -> None:
    said = desk.save(prompt="a tall figure: grey", seed="5")
    assert said["written"] == {"number": 1, "file": "jobs/portraits.yaml", "task": "portraits:mallsing"}
    assert desk.text() == JOB.replace(
        "prompt: a tall figure with a {red|blue} cloak  # as in the book\n",
        'prompt: "a tall figure: grey"  # as in the book\n    seed: 5\n',
    )
    edited = desk.text()
    again = desk.ask("undo")
    assert (again["undone"]["number"], desk.text()) == (1, JOB)
    assert desk.ask("undo", number=1)["problem"] == "there is no such edit to undo"
    assert desk.ask("undo", number=again["number"])["undone"]
    assert desk.text() == edited


def test_clearing_a_field_takes_it_out_of_the_item(desk: Desk) -> None:
    desk.save("portraits:yrr", seed="")
    assert desk.text() == JOB.replace("    seed: 7\n", "")


def test_a_file_that_changed_meanwhile_is_not_overwritten(desk: Desk) -> None:
    sha256 = desk.ask("read")["sha256"]
    desk.write(JOB.replace("oil on linen", "ink"))
    said = desk.ask("write", values={"steps": "9"}, sha256=sha256)
    assert (said["is_other"], said["written"]) == (True, None)
    assert "+    steps: 9" in said["diff"]
    assert "steps: 9" not in desk.text()
    assert desk.ask("write", values={"steps": "9"}, sha256=said["sha256"])["written"]
    desk.write(JOB)
    assert "has changed since it was edited here" in desk.ask("undo")["problem"]
    assert desk.text() == JOB


def test_while_a_build_runs_nothing_is_written_and_it_is_named(desk: Desk) -> None:
    with hold(desk.root / ".imagegen", 0):
        said = desk.save(steps="9")
    assert said["status"] == 409
    assert said["problem"].startswith(f"another doit is running here (process {os.getpid()}")
    assert desk.text() == JOB


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("steps", "many", "items[0].steps: expected a whole number, found the text 'many'"),
        ("steps", "0", "items[0].steps: "),
        ("steps", "1e999", "items[0].steps: expected a whole number"),
        ("width", "99999", "items[0].width: "),
        ("seed", "-1", "items[0].seed: "),
        ("prompt", "", "items[0].prompt: "),
        ("prompt", " \n ", "items[0].prompt: has nothing in it but white space"),
        ("prompt", "a\0b", "prompt: has the control character U+0000 in it"),
        ("prompt", "\ud800", "prompt: has half of a surrogate pair in it"),
        ("prompt", "a {red|blue cloak", "prompt: the alternatives"),
        ("sampler", "x" * 200, "items[0].sampler: "),
    ],
)
def test_the_checkers_words_are_at_the_field(desk: Desk, key: str, value: str, message: str) -> None:
    said = desk.preview(**{key: value})
    assert [problem["field"] for problem in said["problems"]] == [key]
    assert said["problems"][0]["what"].startswith(message)
    assert desk.save(**{key: value})["written"] is None
    assert desk.text() == JOB


def test_a_problem_below_a_prompt_that_grew_is_at_its_field(desk: Desk) -> None:
    said = desk.preview("portraits:yrr", prompt="one\ntwo\nthree\nfour", seed="x")
    assert [problem["field"] for problem in said["problems"]] == ["seed"]


@pytest.mark.parametrize(
    "value", ["a: b", "a #b", '"a"', "'", "@a", "- a", "a\nb\n\nc", "🦊 fox", "שלום", "*a", "no", "1.0", "{a|b}", "%", "a\tb"]
)  # fmt: skip
def test_any_prompt_is_read_back_as_it_was_typed(desk: Desk, value: str) -> None:
    assert desk.save(prompt=value)["written"], desk.preview(prompt=value)
    assert desk.fields()["prompt"]["value"] == value
    assert desk.text().count("# as in the book") == desk.text().count("# the tall one") == 1


def test_line_ends_of_a_browser_are_those_of_the_file(desk: Desk) -> None:
    desk.write(JOB.replace("\n", "\r\n"))
    desk.save(prompt="one\r\ntwo")
    assert desk.fields()["prompt"]["value"] == "one\ntwo"
    assert desk.text().count("\n") == desk.text().count("\r\n")


@pytest.mark.parametrize(
    "body",
    [
        {"values": {"output": "x"}},
        {"values": {"name": "x"}},
        {"values": {"../x": "1"}},
        {"values": {"items.0.prompt": "1"}},
        {"values": {"steps": 3}},
        {"values": ["steps"]},
        {"task": "../../etc/passwd", "values": {}},
        {"task": {"a": 1}, "values": {}},
        {"task": None},
    ],
)
def test_only_fields_of_the_list_and_images_of_the_project_are_taken(desk: Desk, body: dict[str, Any]) -> None:
    for what in ("preview", "write"):
        status, said = desk.editor.answer(what, {"task": "portraits:mallsing", **body})
        assert status == 409, said
    assert desk.text() == JOB


def test_a_field_that_the_matrix_sets_is_locked(desk: Desk) -> None:
    desk.write(JOB + "matrix: {steps: [3, 4]}\n")
    task = desk.open({})[1][0].outputs[0].task
    assert desk.fields(task)["steps"]["locked"] == "the job's matrix sets it: the axis steps"
    said = desk.preview(task, prompt="a cat")
    assert len(said["images"]) == len(said["why"]["build"]) == 2


def test_what_is_wrong_elsewhere_because_of_one_field_is_at_that_field(desk: Desk) -> None:
    moods = "matrix: {mood: {calm: calm, angry: angry}}\n"
    desk.write(JOB.replace("oil on linen", '"{mood}"') + moods)
    task = desk.open({})[1][0].outputs[0].task
    said = desk.preview(task, prompt="a {mod} figure")
    expected = "prompt: {mod}: no axis of the matrix has this name; did you mean 'mood'?"
    assert [(one["field"], one["what"]) for one in said["problems"]] == [("prompt", expected)]
    said = desk.preview(task, **{"job:prompt.suffix": ""})
    assert [one["field"] for one in said["problems"]] == ["job:prompt.suffix"] * 2
    assert said["problems"][0]["what"].startswith("matrix.mood: the prompt of 'Mallsing' does not use {mood}")


def test_a_link_and_a_mode_stay(desk: Desk) -> None:
    real = desk.root / "elsewhere.yaml"
    (desk.root / "jobs/portraits.yaml").rename(real)
    real.chmod(0o640)
    (desk.root / "jobs/portraits.yaml").symlink_to(real)
    desk.save(steps="9")
    assert (desk.root / "jobs/portraits.yaml").is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert "steps: 9" in real.read_text()


def test_the_item_of_a_base_is_edited_there_if_only_this_job_extends_it(desk: Desk) -> None:
    desk.write(JOB, "jobs/_base.yaml")
    desk.write("extends: _base.yaml\n")
    said = desk.save(steps="9")
    assert said["file"] == "jobs/_base.yaml"
    assert desk.text() == "extends: _base.yaml\n"
    assert "steps: 9" in desk.text("jobs/_base.yaml")
    desk.write("extends: _base.yaml\n", "jobs/others.yaml")
    said = desk.ask("read")
    assert said["problem"].startswith("jobs/_base.yaml:6:5: the item is in jobs/_base.yaml, which jobs/others.yaml and")


def test_the_digest_is_that_of_the_file(desk: Desk) -> None:
    assert desk.ask("read")["sha256"] == hashlib.sha256(JOB.encode()).hexdigest()


SOURCED = "backend: scripted\ngenerate: {width: 48, height: 64}\nsource: docs/people.%s\n"


def test_an_item_of_a_markdown_page_is_edited_there(desk: Desk) -> None:
    page = "# People\n\n## Mallsing\n\n```\na tall figure\n```\n\n## Yrr\n\n```\na small one\n```\n"
    desk.write(page, "docs/people.md")
    desk.write(SOURCED % "md")
    desk.write(SOURCED % "md" + "output: {dir: assets/two}\n", "jobs/two.yaml")
    assert desk.ask("read")["where"] == "docs/people.md:3:1"
    said = desk.preview(prompt="a tall figure\nin red", steps="many")
    assert [(problem["field"], problem["where"]) for problem in said["problems"]][:1] == [
        ("steps", "docs/people.md:11:1")
    ]
    said = desk.save(prompt="a tall figure\nin red")
    assert said["why"]["others"] == ["two:mallsing"]
    assert desk.text("docs/people.md") == page.replace("figure\n", "figure\nin red\n")
    assert desk.ask("undo")["undone"]["file"] == "docs/people.md"
    assert desk.text("docs/people.md") == page


def test_an_item_of_a_table_is_edited_there_as_far_as_it_has_columns(desk: Desk) -> None:
    desk.write("name;prompt;steps\nMallsing;a tall figure;\nYrr;a small one;4\n", "docs/people.csv")
    desk.write(SOURCED % "csv")
    fields = desk.fields()
    assert (fields["steps"]["locked"], fields["cfg"]["locked"]) == ("", "docs/people.csv has no column for it")
    assert desk.preview(cfg="3")["problems"][0]["field"] == "cfg"
    said = desk.preview(prompt="")
    assert [(one["field"], one["what"]) for one in said["problems"]] == [("prompt", "this row has no prompt")]
    desk.save(prompt="a tall; figure", steps="7")
    assert desk.text("docs/people.csv") == 'name;prompt;steps\nMallsing;"a tall; figure";7\nYrr;a small one;4\n'


def test_what_the_job_says_of_all_its_images_is_edited_too(desk: Desk) -> None:
    fields = desk.fields()
    assert fields["job:prompt.suffix"]["value"] == "oil on linen"
    assert (fields["job:generate.steps"]["value"], fields["job:generate.cfg"]["now"]) == ("20", "7")
    assert "location" not in fields["steps"]
    said = desk.preview(**{"job:prompt.suffix": "ink", "job:generate.steps": "0"})
    assert [problem["field"] for problem in said["problems"]] == ["job:generate.steps"]
    said = desk.save(**{"job:prompt.suffix": "ink", "job:generate.cfg": "3.5", "job:prompt.prefix": "portrait:"})
    assert said["why"]["others"] == ["portraits:yrr"]
    assert desk.text() == JOB.replace("{suffix: oil on linen}", '{suffix: ink, prefix: "portrait:"}').replace(
        "steps: 20}", "steps: 20, cfg: 3.5}"
    )


def test_the_form_of_a_file_stays(desk: Desk) -> None:
    text = JOB.replace("\n", "\r\n")
    (desk.root / "jobs/portraits.yaml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    desk.save(steps="9")
    expected = text.replace("# as in the book\r\n", "# as in the book\r\n    steps: 9\r\n")
    assert (desk.root / "jobs/portraits.yaml").read_bytes() == b"\xef\xbb\xbf" + expected.encode()


def test_a_job_in_json_is_edited_as_it_is_laid_out(desk: Desk) -> None:
    (desk.root / "jobs/portraits.yaml").unlink()
    text = '{\n  "backend": "scripted",\n  "items": [\n    {"name": "Mallsing", "prompt": "a"}\n  ]\n}\n'
    desk.write(text, "jobs/portraits.json")
    desk.save(prompt='"b"', steps="9")
    assert desk.text("jobs/portraits.json") == text.replace('"a"}', '"\\"b\\"", "steps": 9}')


def test_what_an_alias_shares_is_refused_with_its_place(desk: Desk) -> None:
    desk.write(
        JOB.replace("prompt: a tall figure", "negative: &n hands\n    prompt: a tall figure") + "    negative: *n\n"
    )
    said = desk.preview("portraits:yrr", negative="feet")
    assert said["problems"] == [
        {
            "field": "negative",
            "where": "jobs/portraits.yaml:10:5",
            "what": "line 15 has the alias *n, so other places would change too",
            "hint": "edit it in jobs/portraits.yaml",
        }
    ]
    assert desk.preview("portraits:yrr", negative="")["problems"][0]["what"].startswith("line 15 has the alias")


def test_a_broken_job_says_what_is_wrong_with_it(desk: Desk) -> None:
    desk.write(JOB.replace("width: 48", "widht: 48"))
    said = desk.ask("read")
    assert said["status"] == 409
    assert said["problem"].startswith("jobs/portraits.yaml:3:12: generate.widht: ")
