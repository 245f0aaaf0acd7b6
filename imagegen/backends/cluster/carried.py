"""A request on its way to another machine, with the files that it names."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from imagegen.backends.base import GenerationError
from imagegen.plan.request import Request

__all__ = ["Carried", "carry", "unpacked"]


@dataclass(frozen=True)
class Carried:
    """files: the bytes of its reference images, by their sha256."""

    request: Request
    files: Mapping[str, bytes] = field(default_factory=dict)


def carry(request: Request) -> Carried:
    """With the files in `extra["files"]`, which are what `extra["images"]` says. Raises GenerationError."""
    files = {}
    for place, path in request.extra.get("files", {}).items():
        sha256 = request.extra["images"][place]
        try:
            files[sha256] = Path(path).read_bytes()
        except OSError as error:
            what = f"{path} cannot be read: {error.strerror}"
            raise GenerationError(what, "put it back, then run doit again") from None
        if hashlib.sha256(files[sha256]).hexdigest() != sha256:
            raise GenerationError(f"{path} was changed in the middle of the run", "run doit again")
    return Carried(request, files)


def unpacked(carried: Carried, folder: Path) -> Request:
    """The request, its files in `folder` by their sha256. Raises OSError."""
    request = carried.request
    if "files" not in request.extra:
        return request
    files = {}
    for place, path in request.extra["files"].items():
        sha256 = request.extra["images"][place]
        file = folder / f"{sha256}{Path(path).suffix.lower()}"
        if sha256 in carried.files and not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            written = file.with_name(uuid.uuid4().hex)
            written.write_bytes(carried.files[sha256])
            written.replace(file)
        files[place] = str(file)
    return replace(request, extra={**request.extra, "files": files})
