"""doit's own commands with `--json`, and what the schema of results says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imagegen.errors import BAD_INPUT, DONE
from tests.project_folder import DODO, SMALL_JOB, ProjectFolder
from tests.valid_results import check_lines


def test_doits_own_commands_answer_with_data(tmp_path: Path) -> None:
    project = ProjectFolder(tmp_path / "project", SMALL_JOB)
    project.job()
    project.write("jobs/broken.yaml", "items: 5\n")
    project.write("dodo.py", f"{DODO}def task_own():\n    return {{'actions': ['true'], 'doc': 'mine'}}\n")

    def ask(code: int, *words: str) -> dict[str, Any]:
        return _ask(project, code, *words)

    assert project.doit("portraits:yrr").code == 0
    listed = {one["task"]: one for one in ask(BAD_INPUT, "list", "--json", "--all")["tasks"]}
    states = {name: (one["kind"], one["state"]) for name, one in listed.items()}
    assert (
        states.items()
        >= {
            "portraits": ("job", "stale"),
            "portraits:yrr": ("image", "fresh"),
            "portraits:mallsing": ("image", "stale"),
            "broken": ("job", "broken"),
            "own": ("other", None),
            "why": ("command", None),
        }.items()
    )
    assert (listed["portraits:yrr"]["path"], listed["portraits:mallsing"]["why"]) == (
        "assets/portraits/yrr.png",
        ["new"],
    )
    info = ask(DONE, "info", "--json", "portraits:mallsing")
    assert (info["job"], info["request"]["prompt"], len(info["fingerprint"])) == ("portraits", "a tall figure", 64)
    assert ask(DONE, "ignore", "--json", "portraits:mallsing") == {"tasks": ["portraits:mallsing"]}
    assert ask(DONE, "info", "--json", "portraits:mallsing")["is_ignored"]
    assert ask(DONE, "forget", "--json", "portraits:mallsing") == {"tasks": ["portraits:mallsing"]}
    would = ask(DONE, "clean", "--json", "-n", "portraits")
    assert [one["path"] for one in would["files"] if one["is_removed"]] == ["assets/portraits/yrr.png"]
    assert project.image("yrr").exists()
    removed = ask(BAD_INPUT, "clean", "--json")  # a broken job is not cleaned
    assert removed == would | {"is_dry_run": False}
    assert not project.image("yrr").exists()
    pages = {one["name"]: one for one in ask(DONE, "help", "--json")["commands"]}
    assert pages["run"]["is_of_doit"]
    assert "--variant" in [option["name"] for option in pages["pick"]["options"]]
    (page,) = ask(DONE, "help", "--json", "why")["commands"]
    assert page == pages["why"]
    (answer,) = check_lines(project.doit("why", "--help", "--json"))
    assert (answer["command"], answer["result"]["commands"]) == ("help", [page])


def _ask(project: ProjectFolder, code: int, *words: str) -> dict[str, Any]:
    """Return the result of a command, which prints nothing else."""
    run = project.doit(*words)
    (answer,) = check_lines(run)
    assert (run.code, len(run.events), answer["command"]) == (code, 1, words[0]), run
    return dict(answer["result"])
