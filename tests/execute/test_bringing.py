from __future__ import annotations

from pathlib import Path

from imagegen.config.settings import Settings
from imagegen.execute.forecast import forecast
from imagegen.plan.freshness import Verdict
from imagegen.plan.output import Output
from imagegen.report.doctor.case import Case
from imagegen.report.doctor.jobs import jobs
from tests.execute.workshop import Workshop


def standing(workshop: Workshop) -> list[tuple[Output, Verdict]]:
    project = workshop.project()
    return [(output, project.verdict(output)) for output in workshop.outputs(project).values()]


def foreseen(workshop: Workshop) -> dict[str, str]:
    """What `doit why` says, which asks no store."""
    return {one.output.task: one.act for one in forecast(workshop.project(), standing(workshop), ()).images}


def test_an_accepted_file_goes_up_and_comes_to_the_others(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    settings = Settings(store=f"file://{(tmp_path / 'team').as_posix()}")
    workshop.settings = settings
    workshop.job()
    workshop.build()
    data = workshop.touch_up("yrr")
    workshop.accept("portraits:yrr")
    other = workshop.clone(tmp_path / "other")
    assert foreseen(other) == {"portraits:mallsing": "generate", "portraits:yrr": "restore"}
    case = Case(other.project(), other.project().plans(), (), standing(other))
    assert [row.ok for row in jobs(case) if row.what == "portraits:yrr"] == [True]
    assert other.build() == {"portraits:mallsing": "restored", "portraits:yrr": "failed"}
    assert "nor to be had from the shared store" in other.problems["portraits:yrr"].what
    assert "doit store:push where it was accepted; or bring the file back" in other.problems["portraits:yrr"].hint
    workshop.build()  # with nothing to make: what was accepted goes up
    assert other.build() == {"portraits:yrr": "restored"}
    assert other.path("yrr").read_bytes() == data
    assert sorted(other.lock().splitlines()) == sorted(workshop.lock().splitlines())
    assert other.calls() == 0
    other.touch_up("yrr", "green")  # it is protected as what was accepted here
    assert other.states()["portraits:yrr"] == "kept"
