"""/view and /upload/image: what may be read, and where an upload goes."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Upload", "find", "parse_form", "store"]

_KINDS = ("output", "temp", "input")


@dataclass(frozen=True)
class Upload:
    """One part of a multipart form. filename: None for a plain field."""

    filename: str | None
    data: bytes


def find(folder: Path, query: dict[str, str]) -> Path | int:
    """The file that /view means, or the status of a refusal. folder: has the three kinds."""
    if "filename" not in query:
        return 404
    name, kind = query["filename"], query.get("type", "output")
    if match := re.fullmatch(r"(.*) \[(output|temp|input)\]", name):
        name, kind = match[1], match[2]
    if not name or name.startswith("/") or ".." in name or kind not in _KINDS:
        return 400
    inside = _inside(folder / kind, query.get("subfolder", ""))
    if inside is None:
        return 403
    path = inside / Path(name).name
    return path if path.is_file() else 404


def store(folder: Path, form: dict[str, Upload]) -> dict[str, str] | None:
    """Save an upload, under another name where that one is taken by something else; None for a refusal."""
    image = form.get("image")
    fields = {name: part.data.decode() for name, part in form.items() if part.filename is None}
    kind, subfolder = fields.get("type", "input"), fields.get("subfolder", "")
    target = _inside(folder / kind, subfolder) if kind in _KINDS else None
    if image is None or not image.filename or target is None or _inside(target, image.filename) is None:
        return None
    target.mkdir(parents=True, exist_ok=True)
    path, number = target / image.filename, 0
    while fields.get("overwrite") not in ("true", "1") and path.exists() and path.read_bytes() != image.data:
        number += 1
        path = target / f"{Path(image.filename).stem} ({number}){Path(image.filename).suffix}"
    path.write_bytes(image.data)
    return {"name": path.name, "subfolder": subfolder, "type": kind}


def parse_form(content_type: str, body: bytes) -> dict[str, Upload]:
    """The parts of a multipart/form-data body by name; empty where it is none."""
    boundary = re.search(r'boundary="?([^";]+)', content_type)
    if not boundary:
        return {}
    form = {}
    for part in body.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(r'[ ;]name="([^"]*)"', head.decode())
        filename = re.search(r'filename="([^"]*)"', head.decode())
        if name:
            form[name[1]] = Upload(filename[1] if filename else None, data.removesuffix(b"\r\n"))
    return form


def _inside(root: Path, subfolder: str) -> Path | None:
    path = Path(os.path.abspath(root / subfolder))  # noqa: PTH100 - links are not followed
    return path if path == root or root in path.parents else None
