"""Reference images: read for the fingerprint while planning, and encoded for a server."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from imagegen.backends.base import Context, GenerationError, ReferenceFile
from imagegen.config.document import MAX_BYTES
from imagegen.errors import ImagegenError, InputError, Problem
from imagegen.plan.naming import is_output_name

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["FIRST_IMAGE", "encode_image", "read_images", "read_size", "resolve_images", "resolve_strength"]

FIRST_IMAGE = "init"
"""The key of the image to start from."""
_DEFAULT_STRENGTH = 0.75
_BRANDS = (b"WEBP", b"avif", b"avis")
_ORIENTATION = 0x0112
"""The tag of EXIF."""


def read_images(
    references: Mapping[str, str], context: Context, problems: list[Problem], reader: str = ""
) -> tuple[dict[str, str], dict[str, str]]:
    """Read the reference images that are files; the others are outputs, which may not be there yet.

    Args:
        references: of the section: each image's file or JOB:ITEM, by its key in `images`.
        context: reads them.
        problems: gets what is wrong with them.
        reader: the program that must be able to read them, if it reads the usual formats alone.

    Returns:
        The sha256 of each file by its key, and the path of each by its sha256: `images` and `files` of `Resolved`.
    """
    images: dict[str, str] = {}
    for key, name in references.items():
        if is_output_name(name):
            continue
        try:
            images[key] = _hash_image(context, name, reader)
        except ImagegenError as error:
            problems += [Problem(f"images.{key}", f"{name}: {one.what}", one.hint) for one in error.problems]
    return images, {sha256: references[key] for key, sha256 in images.items()}


def _hash_image(context: Context, file: str, reader: str) -> str:
    found = context.look(file)
    if found is None:
        data = context.read(file)
        found = ReferenceFile(data, len(data), hashlib.sha256(data).hexdigest(), is_pointer=False)
    head = found.head
    if found.is_pointer:
        raise InputError(Problem(file, "it is a Git LFS pointer, whose content is not here", "git lfs pull"))
    if found.size > MAX_BYTES:
        raise InputError(Problem(file, f"is larger than {MAX_BYTES // 1024**2} MiB", "make it smaller"))
    is_usual = head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM")) or head[8:12] in _BRANDS
    if reader and not is_usual:
        raise InputError(Problem(file, f"it is not an image that {reader} reads", "save it as PNG or JPEG"))
    return found.sha256


def resolve_images(
    section: Mapping[str, Any], context: Context, problems: list[Problem], reader: str
) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
    """Return what a section's `images` and `strength` come to: of `Resolved`, the options, `origins` and `files`."""
    references: Mapping[str, str] = section.get("images", {})
    images, files = read_images(references, context, problems, reader)
    extra = ({"images": images} if images else {}) | resolve_strength(section, problems)
    return extra, {key: name for key, name in references.items() if key not in images}, files


def resolve_strength(section: Mapping[str, Any], problems: list[Problem]) -> dict[str, float]:
    """Return `strength` (0–1) of the image to start from, as the request has it; nothing if there is no such image."""
    if FIRST_IMAGE in section.get("images", {}):
        return {"strength": float(section.get("strength", _DEFAULT_STRENGTH))}
    if "strength" in section:
        hint = f"add images.{FIRST_IMAGE}, or remove it"
        problems.append(Problem("strength", f"is for images.{FIRST_IMAGE}, and the job has none", hint))
    return {}


def encode_image(data: bytes, option: str, size: tuple[int, int] | None = None) -> str:
    """Return a reference image in base64, as every program reads it: PNG or JPEG, upright, with three channels.

    stable-diffusion.cpp takes no greyscale, and WebP only if it was built with libwebp (examples/common/media_io.cpp).
    It shows whatever colour is below what is transparent; A1111 puts white there, and so it is here for all programs.
    None of them turns an image upright, as its EXIF data say and as it is shown.

    Args:
        data: the image's file.
        option: that names it, for the error.
        size: to resize it to.

    Raises:
        GenerationError: it is damaged.
    """
    from PIL import Image, ImageOps

    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP"))
        is_plain = image.format in ("PNG", "JPEG") and image.mode == "RGB" and not image.has_transparency_data
        upright = ImageOps.exif_transpose(image) if _is_turned(image) else image
        changed = upright if is_plain else _flatten(upright)
        if size is not None and changed.size != size:
            changed = changed.resize(size, Image.Resampling.LANCZOS)
        if changed is not image:
            written = io.BytesIO()
            changed.save(written, "PNG", compress_level=1, exif=b"")
            data = written.getvalue()
    except Exception:  # a decoder fails on foreign bytes in more ways than Pillow documents
        raise GenerationError(f"{option}: the image is damaged, and cannot be read", "save it again") from None
    return base64.b64encode(data).decode("ascii")


def _flatten(image: Image.Image) -> Image.Image:
    """Return an image of any mode with three channels: on white, if it is transparent anywhere."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits, which Pillow's own conversion would clip
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L").convert("RGB")
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    return image.convert("RGB")


def _is_turned(image: Image.Image) -> bool:
    """Return whether an image is shown in another way than its pixels are stored, as its EXIF data say."""
    try:
        return bool(image.getexif().get(_ORIENTATION, 1) != 1)
    except Exception:  # EXIF data that nobody can read say nothing
        return False


def read_size(data: bytes) -> str:
    """Return an image's size, such as 512×768; empty if it cannot be read."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP", "AVIF")) as image:
            return "×".join(map(str, image.size))
    except Exception:  # as above
        return ""
