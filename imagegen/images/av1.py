"""How large a picture AV1 data decode to, by their sequence header: a few bytes may say so of gigabytes.

Source: AV1 Bitstream & Decoding Process Specification, sections 5.3 (OBUs) and 5.5 (the sequence header).
"""

from __future__ import annotations

__all__ = ["max_frame_size"]

_SEQUENCE_HEADER = 1


def max_frame_size(data: bytes) -> tuple[int, int] | None:
    """Return the largest width and height (pixels) of a frame in AV1 data; None if they have no sequence header.

    Raises IndexError if the data end within it.
    """
    at = 0
    while at < len(data):
        kind, has_extension, has_size = data[at] >> 3 & 15, data[at] >> 2 & 1, data[at] >> 1 & 1
        at += 1 + has_extension
        size = len(data) - at
        if has_size:
            size, at = _read_size(data, at)
        if kind == _SEQUENCE_HEADER:
            return _read_sequence_header(_Bits(data[at : at + size]))
        at += size
    return None


def _read_size(data: bytes, at: int) -> tuple[int, int]:
    """Return the number there, seven bits a byte, and where it ends."""
    size = 0
    for place in range(8):
        byte = data[at + place]
        size |= (byte & 127) << (7 * place)
        if byte < 128:
            return size, at + place + 1
    raise IndexError


class _Bits:
    """Numbers of so many bits, one after the other. Raises IndexError at the end."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise IndexError
        return self._value >> self._left & ((1 << count) - 1)

    def take_variable(self) -> int:
        """Take a number that begins with as many zeros as it has bits."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return self.take(zeros) + (1 << zeros) - 1 if zeros < 32 else (1 << 32) - 1


def _read_sequence_header(bits: _Bits) -> tuple[int, int]:
    bits.take(4)  # profile, whether it is a still picture
    if bits.take(1):  # its header is reduced
        bits.take(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    return bits.take(width_bits) + 1, bits.take(height_bits) + 1


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.take(1):  # timing
        bits.take(64)
        if bits.take(1):
            bits.take_variable()
        if bits.take(1):  # decoder model
            delay_bits = bits.take(5) + 1
            bits.take(42)
    has_delay = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:
            bits.take(1)
        if delay_bits and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if has_delay and bits.take(1):
            bits.take(4)
