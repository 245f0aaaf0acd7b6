"""Provenance: what an image file says of itself, and what stays true wherever the file goes.

It holds no name, path or time. Where it is kept, by format:

- PNG: iTXt `parameters` (the convention of AUTOMATIC1111's web UI), iTXt `imagegen` (JSON), and XMP if the
  image is a trained model's work.
- WebP, AVIF and JPEG: Exif UserComment for the parameters, and XMP, which carries the JSON.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from imagegen.config.schema import Format
from imagegen.images.formats import PNG_VISUAL_CHUNKS, Chunk, copy_png, keyword_of, text_chunk
from imagegen.images.image_file import ImageFile
from imagegen.images.metadata import exif_of_comment, is_generated, read_record, xmp_packet

__all__ = [
    "Provenance",
    "inherit_provenance",
    "parameters_text",
    "provenance_chunks",
    "provenance_json",
    "provenance_options",
    "read_provenance",
    "rewrite_png",
]

_PARAMETERS, _RECORD, _XMP = "parameters", "imagegen", "XML:com.adobe.xmp"
_LONGEST_SEGMENT = 65_533
"""Bytes that a JPEG segment's content can hold: its length field of 16 bits counts itself."""
_LONGEST_XMP = _LONGEST_SEGMENT - len(b"http://ns.adobe.com/xap/1.0/\0")
_LARGEST_OTHER = 4 * 1024**2
"""Bytes of a chunk of somebody else's metadata that stays: a workflow of many nodes has some hundred thousand."""


@dataclass(frozen=True)
class Provenance:
    """How an image came about."""

    fields: Mapping[str, Any]  # the fingerprinted fields of its request
    model_digest: str | None  # hex; None: unknown
    backend_version: str
    generated: bool  # it is the work of a trained model


def provenance_json(provenance: Provenance) -> str:
    """Return the record: canonical JSON, without the item's name, which some backends fingerprint."""
    return _record(provenance, omitted=())


def _record(provenance: Provenance, omitted: Collection[str]) -> str:
    record: dict[str, Any] = {
        "imagegen": 1,
        "request": {k: v for k, v in provenance.fields.items() if k != "name" and k not in omitted},
        "backend_version": provenance.backend_version,
    }
    if provenance.model_digest is not None:
        record["model_digest"] = provenance.model_digest
    if omitted:
        record["omitted"] = sorted(omitted)
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def parameters_text(provenance: Provenance) -> str:
    """Return the `parameters` text that web UIs and model sites read: prompt, negative prompt, settings.

    The words, their order and the quoting are those of AUTOMATIC1111's stable-diffusion-webui,
    modules/infotext_utils.py and modules/processing.py.
    """
    fields = {key: value for key, value in provenance.fields.items() if value not in (None, "")}
    settings = {
        "Steps": fields.get("steps"),
        "Sampler": fields.get("sampler"),
        "Schedule type": fields.get("scheduler"),
        "CFG scale": fields.get("cfg"),
        "Seed": fields.get("seed"),
        "Size": f"{fields['width']}x{fields['height']}" if {"width", "height"} <= fields.keys() else None,
        "Model hash": provenance.model_digest[:10] if provenance.model_digest else None,
        "Model": fields.get("model"),
        "Clip skip": fields.get("clip_skip"),
    }
    lines = [
        str(fields.get("prompt", "")),
        f"Negative prompt: {fields['negative']}" if "negative" in fields else "",
        ", ".join(f"{key}: {_setting(value)}" for key, value in settings.items() if value is not None),
    ]
    return "\n".join(line for line in lines if line)


def _setting(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(c in text for c in ",:\n") else text


def _xmp_packet_within(provenance: Provenance, most: int) -> bytes:
    """Return the XMP packet in at most that many bytes; the request's longest fields go first, named as omitted."""
    by_length = sorted(provenance.fields.keys() - {"name"}, key=lambda k: (len(json.dumps(provenance.fields[k])), k))
    omitted: list[str] = []
    while True:
        packet = xmp_packet(_record(provenance, omitted), generated=provenance.generated).encode("utf-8")
        if len(packet) <= most or not by_length:
            return packet if len(packet) <= most else b""
        omitted.append(by_length.pop())


def provenance_chunks(provenance: Provenance) -> list[Chunk]:
    """Return the chunks of a PNG that hold it."""
    found = [text_chunk(_PARAMETERS, parameters_text(provenance)), text_chunk(_RECORD, provenance_json(provenance))]
    if provenance.generated:
        found.append(text_chunk(_XMP, xmp_packet(provenance_json(provenance), generated=True)))
    return found


def provenance_options(provenance: Provenance, format_: Format) -> dict[str, bytes]:
    """Return what Pillow's `save` takes to write it into a WebP, AVIF or JPEG.

    A JPEG segment holds 65,533 bytes. If the XMP is longer, the request's longest fields are left out of it and
    listed under `omitted`; if the Exif is longer, there is none.
    """
    exif = exif_of_comment(parameters_text(provenance))
    if format_ != "jpeg":
        xmp = xmp_packet(provenance_json(provenance), generated=provenance.generated)
        return {"exif": exif, "xmp": xmp.encode("utf-8")}
    options = {"exif": exif} if len(exif) <= _LONGEST_SEGMENT else {}
    return {**options, "xmp": _xmp_packet_within(provenance, _LONGEST_XMP)}


def rewrite_png(file: ImageFile, provenance: Provenance | None) -> bytes:
    """Return a PNG file with this provenance in place of any that it has; its pixels stay as encoded.

    With None, the file keeps nothing but what decides its looks. Other metadata (ComfyUI's `prompt` and `workflow`,
    for example) stays otherwise, up to 4 MiB a chunk; XMP does not.
    """
    if provenance is None:
        return copy_png(file.data, file.chunks, lambda chunk: chunk[0] in PNG_VISUAL_CHUNKS)
    ours = (_PARAMETERS, _RECORD, _XMP)
    return copy_png(
        file.data,
        file.chunks,
        lambda one: one[0] in PNG_VISUAL_CHUNKS or (keyword_of(one) not in ours and len(one[1]) <= _LARGEST_OTHER),
        provenance_chunks(provenance),
    )


def read_provenance(file: ImageFile) -> dict[str, Any] | None:
    """Return the record of an image file, as `provenance_json` made it; None if there is none."""
    text = file.texts.get(_RECORD) if file.format == "png" else read_record(file.xmp)
    try:
        record = json.loads(text or "null")
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def inherit_provenance(file: ImageFile) -> Provenance | None:
    """Return the provenance of an image that is made from this one; None if it has none that can be read."""
    record = read_provenance(file)
    if record is None or not isinstance(record.get("request"), dict):
        return None
    digest = record.get("model_digest")
    return Provenance(
        fields=record["request"],
        model_digest=digest if isinstance(digest, str) else None,
        backend_version=str(record.get("backend_version", "")),
        generated=is_generated(file.xmp),
    )
