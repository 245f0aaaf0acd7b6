"""An image's way from the backend to its file."""

from __future__ import annotations

from typing import Any

import pytest

from imagegen.images import formats, image_file
from tests.project_folder import SMALL_JOB, ProjectFolder


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
