"""The header of a model file: its tensors' names and shapes, and whether the file is complete. Reads no weights.

Sources of the formats: https://huggingface.co/docs/safetensors (Format), and ggml's docs/gguf.md, versions 2 and 3. The
sizes of quantised tensors are ggml's (`type_traits` in src/ggml.c). Nothing that a file says is believed further than
the bounds below.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Literal

from imagegen.backends.text import one_line, size_text

__all__ = ["BadModel", "ModelHeader", "read_header"]

Shape = tuple[int, ...]
_MAX_HEADER = 64 * 1024**2
"""Bytes of a GGUF's. The longest that there are hold a language model's vocabulary, and have some 10 MB."""
_MAX_JSON = 16 * 1024**2
"""Bytes of a safetensors file's. That of a checkpoint has some 200 KB."""
_MAX_COUNT = 200_000
"""Tensors, or values beside them. A language model has some thousands."""
_MAX_DIMENSIONS = 8
_PART = 1024**2


class BadModel(Exception):  # noqa: N818 - it names what is there
    """The file is not a complete model.

    Args:
        what: one sentence without a subject or a full stop, such as `is cut short`.
        hint: what to do.
    """

    def __init__(self, what: str, hint: str = "download it again") -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


@dataclass(frozen=True)
class ModelHeader:
    """What a complete model file says of itself.

    Attributes:
        format: pickle: a checkpoint of PyTorch, in which nothing is looked for.
        size: of the file, in bytes.
        tensors: name → shape, the dimension that changes fastest first, as ggml has it. Empty if unknown.
        bytes: of each tensor's data, by its name, as far as that is known.
    """

    format: Literal["safetensors", "gguf", "pickle"]
    size: int
    tensors: Mapping[str, Shape] = field(default_factory=dict)
    bytes: Mapping[str, int] = field(default_factory=dict)


def read_header(path: Path) -> ModelHeader:
    """Read the header of a safetensors or GGUF file. Of a PyTorch checkpoint, only the first bytes are looked at.

    Raises:
        BadModel: it is not a model, or not a complete one.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        begin = file.read(16)
        if begin.startswith(b"GGUF"):
            return _read_gguf(_Reader(file, size))
        if begin[8:9] == b"{":
            return _read_safetensors(file, size)
        if begin.startswith((b"PK\x03\x04", b"\x80\x02")):
            return ModelHeader("pickle", size)
        raise _explain(begin + file.read(200), size)


def _explain(begin: bytes, size: int) -> BadModel:
    """Return why this is not a model, by its first bytes."""
    if not size:
        return BadModel("is empty")
    text = begin.lstrip()
    if text.lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return BadModel("is not a model but a web page", "download the file itself, not its page")
    if text.startswith(b"version https://git-lfs"):
        return BadModel("is not a model but a pointer of Git LFS", "git lfs pull, or download it")
    shown = f": it begins with '{one_line(text, 30)}'" if text.isascii() and len(text) > 8 else ""
    what = f"is not a model in safetensors or GGUF format, nor a PyTorch checkpoint{shown}"
    return BadModel(what, "name a model file, or download it again")


def _read_safetensors(file: BinaryIO, size: int) -> ModelHeader:
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > _MAX_JSON:
        raise BadModel(f"is not a valid safetensors file: its header would have {size_text(length)}")
    if 8 + length > size:
        raise _cut_short(size, 8 + length, "at least ")
    try:
        found = json.loads(file.read(length))
        found.pop("__metadata__", None)
        tensors = {name: _read_entry(entry) for name, entry in found.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise BadModel("is not a valid safetensors file: its header is damaged") from None
    needed = 8 + length + max((end for _, _, end in tensors.values()), default=0)
    if needed > size:
        raise _cut_short(size, needed)
    shapes = {name: shape for name, (shape, _, _) in tensors.items()}
    return ModelHeader("safetensors", size, shapes, {name: end - at for name, (_, at, end) in tensors.items()})


def _read_entry(entry: Mapping[str, Any]) -> tuple[Shape, int, int]:
    """Return a tensor's shape, and where its data begins and ends. Raises ValueError, TypeError and KeyError."""
    shape, (begin, end) = entry["shape"], entry["data_offsets"]
    numbers = [*shape, begin, end]
    if not all(isinstance(one, int) and 0 <= one < 2**62 for one in numbers) or begin > end:
        raise ValueError
    return tuple(reversed(shape)), begin, end


def _cut_short(size: int, needed: int, at_least: str = "") -> BadModel:
    there, whole = size_text(size), size_text(needed)
    if there == whole:
        there, whole = f"{size:,} bytes", f"{needed:,}"
    return BadModel(f"is cut short: {there} of {at_least}{whole}")


class _Reader:
    """The beginning of a file, read as far as it is needed."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.size = size
        self._file = file
        self._data = bytearray()
        self.at = 4  # after the magic

    def skip(self, count: int) -> int:
        """Go on by so many bytes, and return where they begin. Raises BadModel if they are not there."""
        begin, self.at = self.at, self.at + count
        if self.at > _MAX_HEADER and self.at <= self.size:
            raise BadModel(f"is not a valid GGUF file: its header has more than {size_text(_MAX_HEADER)}")
        if self.at > self.size:
            raise BadModel("is cut short, in the midst of its header", "download it again")
        if self.at > len(self._data):
            self._file.seek(len(self._data))
            self._data += self._file.read(max(_PART, self.at - len(self._data)))
            if self.at > len(self._data):  # it became shorter
                raise BadModel("is cut short, in the midst of its header", "download it again")
        return begin

    def number(self, size: int) -> int:
        """Read an unsigned number of so many bytes."""
        begin = self.skip(size)
        return int.from_bytes(self._data[begin : begin + size], "little")

    def count(self, most: int) -> int:
        """Read a number of things. Raises BadModel if it is out of all proportion."""
        found = self.number(8)
        if found > most:
            raise BadModel("is not a valid GGUF file: its header is damaged")
        return found

    def text(self) -> str:
        """Read a text."""
        length = self.number(8)
        begin = self.skip(length)
        return self._data[begin : begin + length].decode("utf-8", "replace")

    def skip_texts(self, count: int) -> None:
        """Go on by so many texts: a vocabulary has some hundred thousand."""
        for _ in range(count):
            self.skip(self.number(8))


_STRING, _ARRAY = 8, 9
_NUMBERS = {
    0: 1,  # uint8
    1: 1,  # int8
    2: 2,  # uint16
    3: 2,  # int16
    4: 4,  # uint32
    5: 4,  # int32
    6: 4,  # float32
    7: 1,  # bool
    10: 8,  # uint64
    11: 8,  # int64
    12: 8,  # float64
}
"""A GGUF value's type → its bytes, if it is a number."""
_BLOCKS = {
    0: (1, 4),  # F32
    1: (1, 2),  # F16
    2: (32, 18),  # Q4_0
    3: (32, 20),  # Q4_1
    6: (32, 22),  # Q5_0
    7: (32, 24),  # Q5_1
    8: (32, 34),  # Q8_0
    9: (32, 36),  # Q8_1
    10: (256, 84),  # Q2_K
    11: (256, 110),  # Q3_K
    12: (256, 144),  # Q4_K
    13: (256, 176),  # Q5_K
    14: (256, 210),  # Q6_K
    15: (256, 292),  # Q8_K
    16: (256, 66),  # IQ2_XXS
    17: (256, 74),  # IQ2_XS
    18: (256, 98),  # IQ3_XXS
    19: (256, 50),  # IQ1_S
    20: (32, 18),  # IQ4_NL
    21: (256, 110),  # IQ3_S
    22: (256, 82),  # IQ2_S
    23: (256, 136),  # IQ4_XS
    24: (1, 1),  # I8
    25: (1, 2),  # I16
    26: (1, 4),  # I32
    27: (1, 8),  # I64
    28: (1, 8),  # F64
    29: (256, 56),  # IQ1_M
    30: (1, 2),  # BF16
    34: (256, 54),  # TQ1_0
    35: (256, 66),  # TQ2_0
    39: (32, 17),  # MXFP4
}
"""A tensor's type in ggml (`ggml_type`) → how many values are one block, and its bytes."""


def _read_gguf(reader: _Reader) -> ModelHeader:
    version = reader.number(4)
    if version not in (2, 3):  # of one that is not known here, the engine says whether it knows it
        return ModelHeader("gguf", reader.size)
    tensor_count, value_count = reader.count(_MAX_COUNT), reader.count(_MAX_COUNT)
    alignment = 32
    for _ in range(value_count):
        name = reader.text()
        value = _read_value(reader)
        if name == "general.alignment" and value:
            alignment = value
    shapes: dict[str, Shape] = {}
    places: dict[str, tuple[int, int]] = {}
    for _ in range(tensor_count):
        name = reader.text()
        dimensions = reader.number(4)
        if dimensions > _MAX_DIMENSIONS:
            raise BadModel("is not a valid GGUF file: its header is damaged")
        shapes[name] = tuple(reader.number(8) for _ in range(dimensions))
        block, size = _BLOCKS.get(reader.number(4), (1, 0))
        places[name] = (reader.number(8), -(-prod(shapes[name]) // block) * size)
    begin = -(-reader.at // alignment) * alignment
    needed = max((begin + at + size for at, size in places.values()), default=0)
    if needed > reader.size:
        raise _cut_short(reader.size, needed)
    return ModelHeader("gguf", reader.size, shapes, {name: size for name, (_, size) in places.items()})


def _read_value(reader: _Reader) -> int:
    """Read a value; only whole numbers are returned."""
    kind = reader.number(4)
    if kind == _ARRAY:
        kind, count = reader.number(4), reader.count(_MAX_HEADER)
        if kind == _STRING:
            reader.skip_texts(count)
            return 0
        if kind in _NUMBERS:
            reader.skip(count * _NUMBERS[kind])
            return 0
    if kind == _STRING:
        reader.skip(reader.number(8))
        return 0
    if kind not in _NUMBERS:
        raise BadModel("is not a valid GGUF file: its header is damaged")
    return reader.number(_NUMBERS[kind])
