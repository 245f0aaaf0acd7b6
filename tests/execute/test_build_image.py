"""An image's way from the backend to its file."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from imagegen.images import formats, image_file
from tests.project_folder import SMALL_JOB, ProjectFolder, items


@pytest.mark.parametrize(
    ("changes", "reads"),
    [
        ({"output": {"format": "png"}}, 1),
        ({"output": {"format": "webp"}}, 1),
        ({"output": {"format": "jpeg"}, "derive": {"thumb": {"width": 8}}}, 2),
    ],
)
def test_the_container_of_each_image_is_read_once(
    folder: ProjectFolder, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], reads: int
) -> None:
    count = 0

    def format_of(data: bytes) -> str:
        nonlocal count
        count += 1
        return real(data)

    real = formats.format_of
    monkeypatch.setattr(image_file, "format_of", format_of)
    folder.job(items=SMALL_JOB["items"][:1], **changes)
    built = folder.build()
    assert set(built.values()) <= {"generated", "derived"}
    assert (count, len(built)) == (reads, reads)


DERIVED: dict[str, Any] = {"derive": {"thumb": {"width": 16}}, "sheet": {"cell": 16}}


def changed_lines(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[str]:
    """Return the outputs whose lines changed, of lines that stand in the same order."""
    pairs = list(zip(before, after, strict=True))
    assert all(one["path"] == other["path"] for one, other in pairs)
    return [one["output"] for one, other in pairs if one != other]


def test_one_changed_image_changes_its_line_and_those_of_what_is_made_from_it(folder: ProjectFolder) -> None:
    folder.job(items=items(), variants=2, **DERIVED)
    folder.build()
    before = folder.lines()
    folder.job(items=items(Yrr="something else"), variants=2, **DERIVED)
    folder.build()
    assert sorted(changed_lines(before, folder.lines())) == [
        "sheet", "sheet:index", "yrr-v1", "yrr-v1:thumb", "yrr-v2", "yrr-v2:thumb"
    ]  # fmt: skip


def test_a_line_has_a_few_digits_of_each_origin_and_names_the_one_that_changed(folder: ProjectFolder) -> None:
    folder.job(items=items(), **DERIVED)
    folder.build()
    lines = {line["output"]: line for line in folder.lines()}
    images = {name: line["sha256"][:8] for name, line in lines.items() if name in ("mallsing", "yrr", "okka")}
    assert lines["sheet"]["request"]["images"] == lines["sheet:index"]["request"]["images"] == images
    assert lines["yrr:thumb"]["request"]["images"] == {"image": images["yrr"]}
    folder.touch_up("yrr")
    folder.accept("portraits:yrr")
    assert reasons(folder, "sheet") == ["portraits:yrr changed"]
    folder.job(items=items()[:2], **DERIVED)
    assert reasons(folder, "sheet") == ["portraits:okka left out", "portraits:yrr changed"]


def test_a_line_with_all_digits_as_earlier_releases_wrote_it_stays_as_it_is(folder: ProjectFolder) -> None:
    folder.job(items=items(), **DERIVED)
    folder.build()
    whole = {line["sha256"][:8]: line["sha256"] for line in folder.lines()}
    for line in (lines := folder.lines()):
        if line["request"]["backend"] == "derive":
            line["request"]["images"] = {key: whole[digits] for key, digits in line["request"]["images"].items()}
    path = folder.root / "jobs/portraits.lock"
    path.write_text("".join(f"{json.dumps(line, sort_keys=True, separators=(',', ':'))}\n" for line in lines))
    before = folder.lock()
    shutil.rmtree(folder.root / ".imagegen")
    assert folder.build() == {}
    folder.image("yrr-thumb").unlink()
    folder.image("sheet").unlink()
    assert set(folder.build().values()) == {"derived"}
    assert folder.lock() == before
    folder.touch_up("yrr")
    folder.accept("portraits:yrr")
    assert reasons(folder, "sheet") == ["portraits:yrr changed"]


def reasons(folder: ProjectFolder, slug: str) -> list[str]:
    """Return why an output is stale."""
    project = folder.project()
    _, verdict = project.check_freshness(folder.outputs(project)[f"portraits:{slug}"], ())
    return sorted(map(str, verdict.reasons))
