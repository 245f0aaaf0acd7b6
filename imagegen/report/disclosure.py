"""What was used, in numbers, as JSON for programs, and as CSV for tables."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from imagegen.errors import printable
from imagegen.execute.disclosure import DisclosedImage, Disclosure, UsedModel

__all__ = ["summarise", "to_csv", "to_json"]

VERSION = 1
"""Of the JSON. Keys may be added within a version; none is renamed or removed."""


def summarise(found: Disclosure) -> dict[str, int]:
    """Return the numbers. The first is the sum of the next four; `by_ai` is that of the marked and the others."""
    images = found.images
    by_ai = [image for image in images if image.uses_ai]
    marks = Counter(image.is_marked for image in by_ai)
    return {
        "images": len(images),
        "generated": sum(image.kind == "generated" for image in images),
        "derived_from_generated": sum(image.kind == "derived" for image in by_ai),
        "without_ai": sum(image.uses_ai is False for image in images),
        "unknown_origin": sum(image.uses_ai is None for image in images),
        "by_ai": len(by_ai),
        "by_hand": sum(image.is_by_hand for image in images),
        "from_files": sum(image.uses_files for image in images),
        "from_references": sum(image.references > 0 for image in images),
        "missing": sum(image.file == "missing" for image in images),
        "unrecorded": sum(image.kind == "unrecorded" for image in images),
        "marked": marks[True],
        "unmarked": marks[False],
        "mark_unknown": marks[None],
        "licence_unknown": sum(not all(model.has_licence for model in image.models) for image in images),
    }


def to_json(found: Disclosure) -> str:
    """Return the disclosure as JSON. What is not known is null."""
    numbers = {model: number for number, model in enumerate(found.models)}
    models = [{**_model_data(model), "images": count} for model, count in found.models.items()]
    data = {
        "imagegen_disclosure": VERSION,
        "jobs": list(found.jobs),
        "summary": summarise(found),
        "models": models,
        "images": [_image_data(image, numbers) for image in found.images],
    }
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _model_data(model: UsedModel) -> dict[str, Any]:
    return {
        "role": model.role,
        "backend": model.backend,
        "model": model.name or None,
        "digest": model.digest or None,
        "licence": model.licence or None,
        "licence_page": model.page or None,
    }


def _image_data(image: DisclosedImage, numbers: Mapping[UsedModel, int]) -> dict[str, Any]:
    return {
        "image": image.task,
        "path": image.path or None,
        "kind": image.kind,
        "file": image.file,
        "backend": image.backend or None,
        "by_ai": image.uses_ai,
        "by_hand": image.is_by_hand,
        "from_files": image.uses_files,
        "marked": image.is_marked,
        "models": [numbers[model] for model in image.models],
        "references": image.references,
        "origins": list(image.origins),
        "time": image.time or None,
    }


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
