"""An image file, read once: every later step takes what it needs from the same `ImageFile`."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING

from imagegen.config.schema import Format
from imagegen.images.avif import NO_AVIF, avif_orientation, avif_size, read_avif, simplify_avif
from imagegen.images.formats import (
    PNG_ANIMATION,
    PNG_VISUAL_CHUNKS,
    BadImage,
    Chunk,
    copy_png,
    format_of,
    is_lossless_webp,
    jpeg_size,
    keyword_of,
    png_size,
    read_jpeg,
    read_png,
    read_webp,
    text_of,
    webp_size,
    write_jpeg,
)
from imagegen.images.metadata import read_orientation

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["MAX_PIXELS", "ImageFile", "read_image", "verify", "verify_file", "verify_still"]

MAX_PIXELS = 8192 * 8192
"""The largest image that is decoded, in pixels: 256 MiB as RGBA, and below the size at which Pillow warns."""

_PICTURE = PNG_VISUAL_CHUNKS - PNG_ANIMATION
_LITTLE_TEXT = 1024**2
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_APP1, _COMMENT = b"\xe1", b"\xfe"
_APPLICATION = frozenset(bytes([marker]) for marker in range(0xE0, 0xF0))


@dataclass(frozen=True)
class ImageFile:
    """An image file whose container is whole; `verify` also decodes it."""

    data: bytes = field(repr=False)
    format: Format
    width: int  # pixels, as the header says
    height: int
    lossless: bool  # an AVIF's container does not say it; then False
    chunks: list[Chunk] = field(repr=False)  # the parts of the container

    @cached_property
    def picture(self) -> Image:
        """The image (of an animation: its first frame), decoded to its end, as L, RGB or RGBA.

        Its `info` holds an ICC profile or nothing. Whoever changes it copies it first. Raises BadImage.
        """
        return self._decode(None)

    def picture_for(self, box: tuple[int, int]) -> Image:
        """Return the picture to be made to fit the box, in pixels.

        A JPEG is decoded to a half, a quarter or an eighth of its size if that still fills the box: it takes less time.
        Raises BadImage.
        """
        scale = min(box[0] / self.width, box[1] / self.height) if self.width and self.height else 1.0
        return self._decode((ceil(self.width * scale), ceil(self.height * scale)) if scale < 1 else None)

    def _decode(self, draft: tuple[int, int] | None) -> Image:
        from PIL import (
            AvifImagePlugin,  # both keep Pillow from importing all of its plugins to find this one
            Image,
            UnidentifiedImageError,
            WebPImagePlugin,  # noqa: F401
        )

        if self.format == "avif" and not AvifImagePlugin.SUPPORTED:
            raise BadImage(NO_AVIF)
        try:
            image = Image.open(io.BytesIO(self._without_metadata()), formats=(self.format.upper(),))
            if draft:
                image.draft(None, draft)
            image.load()
        except (BadImage, MemoryError):
            raise
        except UnidentifiedImageError:
            raise BadImage("the image is corrupt: its header cannot be read") from None
        except Exception as error:  # a decoder fails on foreign bytes in more ways than Pillow documents
            raise BadImage(f"the image is corrupt: {error}") from error
        if draft is None and image.size != (self.width, self.height):
            found = f"its picture is {_size(image.size)}, its header says {_size((self.width, self.height))}"
            raise BadImage(f"the image is corrupt: {found}")
        return _plain(image)

    def _without_metadata(self) -> bytes:
        """Return the file without what Pillow would expand or parse on opening: compressed text, Exif, further frames.

        A PNG with nothing else than a little text is returned as it is, since a copy costs time.

        Pillow warns if those are damaged, which could not be held back for this thread alone.
        """
        if self.format == "png":
            if sum(len(content) for kind, content in self.chunks if kind not in _PICTURE) <= _LITTLE_TEXT and all(
                kind in _PICTURE or text_of((kind, content)) is not None for kind, content in self.chunks
            ):
                return self.data
            return copy_png(self.data, self.chunks, lambda chunk: chunk[0] in _PICTURE)
        if self.format == "webp":
            return self.data
        if self.format == "avif":
            return simplify_avif(self.data)
        return write_jpeg(chunk for chunk in self.chunks if _affects_appearance(chunk))

    @cached_property
    def upright(self) -> Image:
        """The picture as a viewer shows it: turned as its Exif says, or of an AVIF its container. Raises BadImage."""
        from PIL.Image import Transpose

        turns = {
            2: Transpose.FLIP_LEFT_RIGHT,
            3: Transpose.ROTATE_180,
            4: Transpose.FLIP_TOP_BOTTOM,
            5: Transpose.TRANSPOSE,
            6: Transpose.ROTATE_270,
            7: Transpose.TRANSVERSE,
            8: Transpose.ROTATE_90,
        }
        is_avif = self.format == "avif"
        turn = turns.get(avif_orientation(self.chunks) if is_avif else read_orientation(self.exif))
        return self.picture if turn is None else self.picture.transpose(turn)

    @property
    def exif(self) -> bytes:
        """Its Exif, a TIFF structure; empty if it has none."""
        if self.format == "jpeg":
            return self._segment(_EXIF)
        kind = {"png": b"eXIf", "webp": b"EXIF", "avif": b"Exif"}[self.format]
        return self._first(kind).removeprefix(_EXIF)

    @property
    def xmp(self) -> bytes:
        """Its XMP packet; empty if it has none."""
        if self.format == "png":
            return self.texts.get("XML:com.adobe.xmp", "").encode("utf-8")
        return self._segment(_XMP) if self.format == "jpeg" else self._first(b"XMP ")

    @cached_property
    def texts(self) -> dict[str, str]:
        """The first text of each keyword in a PNG; of a JPEG its comment, as `Comment`."""
        if self.format == "jpeg":
            return {"Comment": self._first(_COMMENT).decode("utf-8", "replace").strip("\0")}
        texts: dict[str, str] = {}
        for chunk in self.chunks if self.format == "png" else ():
            key, text = keyword_of(chunk), text_of(chunk)
            if key is not None and text is not None:
                texts.setdefault(key, text)
        return texts

    @property
    def is_animated(self) -> bool:
        """Whether it has more than one picture. An AVIF says by its brand that it is a sequence."""
        frame = {"png": b"fcTL", "webp": b"ANMF"}.get(self.format)
        return sum(kind == frame for kind, _ in self.chunks) > 1 or self.data[4:12] == b"ftypavis"

    def _first(self, kind: bytes) -> bytes:
        return next((content for found, content in self.chunks if found == kind), b"")

    def _segment(self, header: bytes) -> bytes:
        """Return what follows the header in the first APP1 segment that has it."""
        found = (content for kind, content in self.chunks if kind == _APP1 and content.startswith(header))
        return next(found, b"").removeprefix(header)


def read_image(data: bytes, *, may_be_followed: bool = True) -> ImageFile:
    """Read an image file's container; nothing is decoded.

    Args:
        data: the file.
        may_be_followed: whether something else may come after the image, as after a phone's photo.

    Raises:
        BadImage: it is not a PNG, WebP, AVIF or JPEG, or it is cut off, corrupt or followed by something else.

    """
    kind = format_of(data)
    if kind == "png":
        chunks = read_png(data, may_be_followed=may_be_followed)
        return ImageFile(data, kind, *png_size(chunks), True, chunks)
    if kind == "webp":
        chunks = read_webp(data, may_be_followed=may_be_followed)
        return ImageFile(data, kind, *webp_size(chunks), is_lossless_webp(chunks), chunks)
    if kind == "avif":
        chunks = read_avif(data, may_be_followed=may_be_followed)
        return ImageFile(data, kind, *avif_size(chunks), False, chunks)
    chunks = read_jpeg(data, may_be_followed=may_be_followed)
    return ImageFile(data, kind, *jpeg_size(chunks), False, chunks)


def verify(
    data: bytes,
    width: int | None = None,
    height: int | None = None,
    *,
    may_be_flat: bool = True,
    may_be_followed: bool = False,
) -> ImageFile:
    """Read an image file and decode the whole image.

    Pillow accepts a PNG with its end missing, and whatever follows an image; so the container is walked first, to its
    last byte. A PNG has checksums; within the data of a lossy image a flipped bit may go unseen.

    Args:
        data: the file.
        width: pixels asked for, None if any will do. The header is asked, before anything is decoded.
        height: likewise.
        may_be_flat: whether one flat colour will do.
        may_be_followed: as for `read_image`.

    Raises:
        BadImage: as `read_image`; or it is larger than `MAX_PIXELS`, not of the size asked for, or flat.

    """
    return verify_file(read_image(data, may_be_followed=may_be_followed), width, height, may_be_flat=may_be_flat)


def verify_file(
    file: ImageFile, width: int | None = None, height: int | None = None, *, may_be_flat: bool = True
) -> ImageFile:
    """Decode the whole image of a file that was read. The arguments are those of `verify`; raises BadImage likewise."""
    actual = (file.width, file.height)
    asked = (file.width if width is None else width, file.height if height is None else height)
    if 0 in actual:
        raise BadImage("the image is corrupt: its header gives no size")
    if actual != asked:
        raise BadImage(f"the image is {_size(actual)}, not the {_size(asked)} asked for")
    if file.width * file.height > MAX_PIXELS:
        raise BadImage(f"the image is {_size(actual)}, which is more than {MAX_PIXELS} pixels")
    picture = file.picture
    if not may_be_flat and len(picture.getcolors(1) or ()) == 1:
        raise BadImage(f"the image is of one flat colour, {_colour(picture)}")
    return file


def verify_still(data: bytes) -> ImageFile:
    """Read an image file of one picture, and decode it. Raises BadImage as `verify`, or because it is an animation."""
    file = verify(data, may_be_followed=True)
    if file.is_animated:
        raise BadImage("it is an animation, of which one picture is needed", "save one of its frames as a file")
    return file


def _affects_appearance(chunk: Chunk) -> bool:
    """Return whether a segment affects the picture: no comment does, and of APPn only JFIF, ICC and Adobe."""
    kind, content = chunk
    if kind == b"\xe2":
        return content.startswith(b"ICC_PROFILE\0")
    return kind in (b"\xe0", b"\xee") or not (kind in _APPLICATION or kind == _COMMENT)


def _plain(image: Image) -> Image:
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):
        # Pillow's own conversion clips 16 bits to 8 where it should scale; 65535 / 257 = 255
        image.info.pop("transparency", None)
        image = image.convert("I").point([(2 * value + 257) // 514 for value in range(65536)], "L")
        mode = "L"
    elif image.has_transparency_data:
        mode = "RGBA"
    else:
        mode = "L" if image.mode in ("1", "L") else "RGB"
    result = image if image.mode == mode else image.convert(mode)
    result.info = {"icc_profile": profile} if profile else {}
    return result


def _colour(image: Image) -> str:
    return "#" + "".join(f"{value:02x}" for value in image.convert("RGB").resize((1, 1)).tobytes())


def _size(pixels: tuple[int, int]) -> str:
    return f"{pixels[0]}×{pixels[1]}"
