"""Provenance: what an image file says of itself, and what stays true wherever the file goes.

It holds no name, path or time. Where it is kept, by format:

- PNG: iTXt `parameters` (the convention of AUTOMATIC1111's web UI), iTXt `imagegen` (JSON), and XMP where the
  image is a trained model's work.
- WebP and JPEG: Exif UserComment for the parameters, and XMP, which carries the JSON.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from imagegen.images import exif, jpeg, png, webp, xmp
from imagegen.images.image_file import bare, format_of

__all__ = ["Provenance", "embed", "imagegen_json", "inherited", "parameters_text", "read", "xmp_packet"]

_PARAMETERS, _RECORD, _XMP = "parameters", "imagegen", "XML:com.adobe.xmp"
_LARGEST_OTHER = 4 * 1024**2
"""Bytes of a chunk of somebody else's metadata that stays: a workflow of many nodes has some hundred thousand."""


@dataclass(frozen=True)
class Provenance:
    """How an image came about.

    fields: the fingerprinted fields of its request. model_digest: hex, None where it is unknown.
    generated: whether it is the work of a trained model.
    """

    fields: Mapping[str, Any]
    model_digest: str | None
    backend_version: str
    generated: bool


def imagegen_json(p: Provenance) -> str:
    """The record: canonical JSON, without the item's name, which some backends fingerprint."""
    return _record(p, omitted=())


def _record(p: Provenance, omitted: Collection[str]) -> str:
    record: dict[str, Any] = {
        "imagegen": 1,
        "request": {k: v for k, v in p.fields.items() if k != "name" and k not in omitted},
        "backend_version": p.backend_version,
    }
    if p.model_digest is not None:
        record["model_digest"] = p.model_digest
    if omitted:
        record["omitted"] = sorted(omitted)
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def parameters_text(p: Provenance) -> str:
    """The `parameters` text that web UIs and model sites read: prompt, negative prompt, settings.

    The words, their order and the quoting are those of AUTOMATIC1111's stable-diffusion-webui,
    modules/infotext_utils.py and modules/processing.py.
    """
    fields = {key: value for key, value in p.fields.items() if value not in (None, "")}
    settings = {
        "Steps": fields.get("steps"),
        "Sampler": fields.get("sampler"),
        "Schedule type": fields.get("scheduler"),
        "CFG scale": fields.get("cfg"),
        "Seed": fields.get("seed"),
        "Size": f"{fields['width']}x{fields['height']}" if {"width", "height"} <= fields.keys() else None,
        "Model hash": p.model_digest[:10] if p.model_digest else None,
        "Model": fields.get("model"),
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


def xmp_packet(p: Provenance) -> str:
    """The XMP packet: the record, and IPTC's digital source type where the image is generated."""
    return xmp.packet(imagegen_json(p), generated=p.generated)


def _xmp_packet_within(p: Provenance, most: int) -> bytes:
    """The packet in at most that many bytes; the request's longest fields go first, named as omitted."""
    by_length = sorted(p.fields.keys() - {"name"}, key=lambda k: (len(json.dumps(p.fields[k])), k))
    omitted: list[str] = []
    while True:
        packet = xmp.packet(_record(p, omitted), generated=p.generated).encode("utf-8")
        if len(packet) <= most or not by_length:
            return packet if len(packet) <= most else b""
        omitted.append(by_length.pop())


def embed(data: bytes, p: Provenance | None) -> bytes:
    """The image file with this provenance in place of any that it has; the pixels are not encoded again.

    With None, the file keeps nothing but what decides its looks. Other metadata (ComfyUI's `prompt` and
    `workflow`, for example) stays otherwise, up to 4 MiB a PNG chunk; XMP does not.

    A JPEG segment holds `jpeg.LONGEST` bytes. Where the XMP is longer, the request's longest fields are left
    out of it and listed under `omitted`; where the Exif is longer, it stays as it was.

    Raises BadImage for a file that cannot be read.
    """
    if p is None:
        return bare(data)
    kind = format_of(data)
    if kind == "png":
        return _embed_png(data, p)
    if kind == "webp":
        return _embed_webp(data, p)
    return _embed_jpeg(data, p)


def _embed_png(data: bytes, p: Provenance) -> bytes:
    new = [png.itxt(_PARAMETERS, parameters_text(p)), png.itxt(_RECORD, imagegen_json(p))]
    if p.generated:
        new.append(png.itxt(_XMP, xmp_packet(p)))
    ours = (_PARAMETERS, _RECORD, _XMP)
    chunks = [
        chunk
        for chunk in png.read_chunks(data)
        if png.keyword(chunk) not in ours and (chunk[0] in png.LOOKS or len(chunk[1]) <= _LARGEST_OTHER)
    ]
    # some readers look no further than the pixels
    at = next((at for at, (kind, _) in enumerate(chunks) if kind == b"IDAT"), len(chunks) - 1)
    return png.write_chunks([*chunks[:at], *new, *chunks[at:]])


def _embed_webp(data: bytes, p: Provenance) -> bytes:
    chunks = webp.read_chunks(data)
    before = webp.metadata(chunks, b"EXIF").removeprefix(jpeg.EXIF)
    new = {
        b"EXIF": exif.with_user_comment(before, parameters_text(p)),
        b"XMP ": xmp_packet(p).encode("utf-8"),
    }
    return webp.write_chunks(webp.with_metadata(chunks, new))


def _embed_jpeg(data: bytes, p: Provenance) -> bytes:
    segments = jpeg.read_segments(data)
    new = {}
    tiff = exif.with_user_comment(jpeg.metadata(segments, jpeg.EXIF), parameters_text(p))
    if len(tiff) <= jpeg.LONGEST - len(jpeg.EXIF):
        new[jpeg.EXIF] = tiff
    new[jpeg.XMP] = _xmp_packet_within(p, jpeg.LONGEST - len(jpeg.XMP))
    return jpeg.write_segments(jpeg.with_metadata(segments, new))


def read(data: bytes) -> dict[str, Any] | None:
    """The record of an image file, as `imagegen_json` made it; None where there is none.

    Raises BadImage for a file that cannot be read.
    """
    if format_of(data) == "png":
        found = [png.text(chunk) for chunk in png.read_chunks(data) if png.keyword(chunk) == _RECORD]
        text = found[0] if found else None
    else:
        text = xmp.record_of(_xmp_of(data))
    try:
        record = json.loads(text or "null")
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def inherited(data: bytes) -> Provenance | None:
    """The provenance for an image that is made from this image file; None where it has none that can be read.

    Raises BadImage for a file that cannot be read.
    """
    record = read(data)
    if record is None or not isinstance(record.get("request"), dict):
        return None
    digest = record.get("model_digest")
    return Provenance(
        fields=record["request"],
        model_digest=digest if isinstance(digest, str) else None,
        backend_version=str(record.get("backend_version", "")),
        generated=xmp.is_generated(_xmp_of(data)),
    )


def _xmp_of(data: bytes) -> bytes:
    kind = format_of(data)
    if kind == "png":
        found = [png.text(chunk) or "" for chunk in png.read_chunks(data) if png.keyword(chunk) == _XMP]
        return found[0].encode("utf-8") if found else b""
    if kind == "webp":
        return webp.metadata(webp.read_chunks(data), b"XMP ")
    return jpeg.metadata(jpeg.read_segments(data), jpeg.XMP)
