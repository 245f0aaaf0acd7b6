"""The step `cutout`: with what finds an ellipse, and with rembg and onnxruntime themselves where they are installed."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from imagegen.images.formats import BadImage
from imagegen.images.steps import apply_steps
from imagegen.images.steps.cutout import cutout, is_installed, load_model


def disc(size: tuple[int, int], fill: int = 255) -> Image.Image:
    found = Image.new("L", size)
    ImageDraw.Draw(found).ellipse((8, 8, size[0] - 9, size[1] - 9), fill=fill)
    return found


def test_what_was_transparent_stays_so() -> None:
    picture = Image.new("RGBA", (64, 48), (200, 10, 10, 128))
    alpha = cutout(picture, model=lambda one, _: disc(one.size)).getchannel("A")
    assert (alpha.size, alpha.getpixel((32, 24)), alpha.getpixel((0, 0))) == ((64, 48), 128, 0)


def test_a_step_hands_on_what_the_model_works_like() -> None:
    asked = []

    def find(picture: Image.Image, like: str) -> Image.Image:
        asked.append((picture.size, like))
        return disc(picture.size)

    parameters: dict[str, object] = {"model": "own", "sha256": "0" * 64, "like": "u2net"}
    steps: list[tuple[str, dict[str, object]]] = [("cutout", parameters), ("trim", {"padding": 0})]
    found = apply_steps(Image.new("RGB", (64, 48)), steps, {}, {"own": find})
    assert (found.mode, found.size, asked) == ("RGBA", (48, 32), [((64, 48), "u2net")])


def test_what_is_found_faintly_is_background_and_the_rest_stays_smooth() -> None:
    ramp = Image.linear_gradient("L")
    alpha = cutout(ramp.convert("RGB"), model=lambda *_: ramp).getchannel("A")
    found = [alpha.getpixel((0, y)) for y in range(256)]
    assert found[:27] == [0] * 27
    assert found[-1] == 255
    assert {one - other for one, other in itertools.pairwise(found)} <= {0, -1, -2}  # type: ignore[operator]


def test_finding_nothing_is_an_error() -> None:
    with pytest.raises(BadImage, match="the model finds nothing in the image"):
        cutout(Image.new("RGB", (8, 8)), model=lambda one, _: Image.new("L", one.size))


@pytest.mark.skipif(not is_installed(), reason="the extra cutout is not installed: it takes 600 MB")
@pytest.mark.filterwarnings("ignore")  # of what rembg imports
def test_a_real_model_runs_and_gives_equal_pixels(tmp_path: Path) -> None:
    (tmp_path / "bright.onnx").write_bytes(bright_model(320))
    picture = Image.merge("RGB", [disc((200, 100), fill) for fill in (255, 200, 220)])
    found, again = (load_model(tmp_path / "bright.onnx", "u2net")(picture) for _ in range(2))
    assert (found.mode, found.size) == ("L", (200, 100))
    assert found.tobytes() == again.tobytes()
    middle, corner = (found.getpixel(at) for at in ((100, 50), (0, 0)))
    assert isinstance(middle, int)
    assert (middle > 200, corner) == (True, 0)
    with pytest.raises(Exception, match="Got invalid dimensions"):
        load_model(tmp_path / "bright.onnx", "isnet-anime")(picture)
    (tmp_path / "bright.onnx").write_bytes(b"not a model")
    with pytest.raises(Exception, match="Protobuf"):
        load_model(tmp_path / "bright.onnx", "u2net")


# a model in ONNX, which is a message of Protocol Buffers. Source of the numbers: onnx.proto, IR version 7


def bright_model(side: int) -> bytes:
    """Return a model whose output is the mean of the three colours."""
    axes = text(1, "axes") + number(8, 1) + number(20, 7)
    node = text(1, "x") + text(2, "y") + text(4, "ReduceMean") + message(5, axes)
    x, y = value("x", 1, 3, side, side), value("y", 1, 1, side, side)
    graph = message(1, node) + text(2, "bright") + message(11, x) + message(12, y)
    return number(1, 7) + message(7, graph) + message(8, number(2, 11))


def value(name: str, *shape: int) -> bytes:
    sides = b"".join(message(1, number(1, side)) for side in shape)
    return text(1, name) + message(2, message(1, number(1, 1) + message(2, sides)))


def text(field: int, value: str) -> bytes:
    return message(field, value.encode())


def message(field: int, data: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(data)) + data


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def varint(value: int) -> bytes:
    low = value & 0x7F
    return struct.pack("B", low) if value == low else struct.pack("B", low | 0x80) + varint(value >> 7)
