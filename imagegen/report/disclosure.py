"""What was used, as JSON for programs, and as CSV for tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

from imagegen.errors import printable
from imagegen.execute.disclosure import DisclosedImage, Disclosure, UsedModel
from imagegen.report.disclosure_statement import make_statement
from imagegen.report.json_output import as_data

__all__ = ["to_csv", "to_json"]

VERSION = 1
"""Of the JSON. Keys may be added within a version; none is renamed or removed."""


def to_json(found: Disclosure) -> str:
    """Return the disclosure as JSON. What is not known is null."""
    data = as_data(make_statement(found))
    # its task is called so here, and nothing is renamed within a version
    images = [{"image": image.pop("task"), **image} for image in data["images"]]
    return json.dumps({"imagegen_disclosure": VERSION, **data, "images": images}, indent=1, ensure_ascii=False) + "\n"


_COLUMNS = (
    *("image", "path", "kind", "file", "by_ai", "by_hand", "from_files", "marked"),
    *("backend", "model", "digest", "licence", "licence_page", "loras", "references", "origins", "time"),
)


def to_csv(found: Disclosure) -> str:
    """Return a row for each image. No cell is one that a spreadsheet takes for a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for image in found.images:
        writer.writerow([_cell(value) for value in _row(image)])
    return text.getvalue()


def _row(image: DisclosedImage) -> Iterator[object]:
    yield from (image.task, image.path, image.kind, image.file)
    yield from map(_word, (image.uses_ai, image.is_by_hand, image.uses_files, image.is_marked))
    main = next((model for model in image.models if model.role != "lora"), UsedModel("model", "", ""))
    yield from (image.backend, main.name, main.digest, main.licence, main.page)
    yield "; ".join(model.name for model in image.models if model.role == "lora")
    yield from (image.references, "; ".join(image.origins), image.time)


def _word(value: bool | None) -> str:
    return "unknown" if value is None else "yes" if value else "no"


def _cell(value: object) -> str:
    """Return a cell's text. A quote mark before it keeps a spreadsheet from running what begins like a formula."""
    text = " ".join(printable(str(value)).split())
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
