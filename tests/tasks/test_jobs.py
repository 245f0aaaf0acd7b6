from __future__ import annotations

from pathlib import Path

from doit.task import Task, dict_to_task

from imagegen.commands.build import Build
from imagegen.commands.command_line import Invocation
from imagegen.errors import Problem
from imagegen.execute.events import Outcome
from imagegen.tasks.jobs import add_failed
from tests.project_folder import SMALL_JOB, ProjectFolder


def test_an_image_that_was_fresh_when_planned_and_failed_in_the_run_is_not_skipped_by_doit(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path, SMALL_JOB)
    folder.job()
    folder.build()
    build = Build(tmp_path, Invocation())
    planned = build.planned["portraits:yrr"]
    assert planned.verdict.state == "fresh"
    build.outcomes.append(Outcome(planned.output, "failed", problem=Problem("portraits:yrr", "cannot be read")))
    tasks: dict[str, Task] = {"portraits": dict_to_task({"name": "portraits", "actions": None})}
    add_failed(build, tasks)
    assert tasks["portraits"].task_dep == ["portraits:yrr"]
    assert [item for item, *_ in tasks["portraits:yrr"].uptodate] == [False]
