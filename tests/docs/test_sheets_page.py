"""docs/sheets.md against the indexes that there are, and its job against the grammar."""

from __future__ import annotations

from imagegen.backends.registry import registry
from imagegen.config.checking import check_job
from imagegen.config.document import read_document
from imagegen.config.job import INDEX_FILES
from imagegen.plan.expansion import BackendCapabilities, expand
from imagegen.plan.record import JobDecisions
from tests.docs.pages import files, table

PAGE = "docs/sheets.md"


def test_the_table_has_each_index_with_its_file() -> None:
    rows = {cells[0].strip("`") or "texturepacker": cells[1].strip("`") for cells in table(PAGE, "`index`")}
    assert rows == {name: f"sheet{ending}" for name, ending in INDEX_FILES.items()}


def test_its_job_is_right() -> None:
    written = files(PAGE)["jobs/heroes.yaml"]
    job = check_job("heroes", read_document("jobs/heroes.yaml", written.encode()), {name: {} for name in registry()})
    capabilities = BackendCapabilities("placeholder", frozenset({"prompt", "seed", "width", "height"}))
    found = expand(job, job.items, lambda _: capabilities, JobDecisions())
    assert not found.problems
    assert {output.slug for output in found.outputs} >= {"sheet", "sheet:index", "sheet:godot", "sheet:css"}
