"""What the stand-in draws, and where it saves it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from imagegen.backends.comfyui.standin.validation import Graph, input_file, is_link

__all__ = ["draw", "encode", "free_name", "identity", "size_of"]


def identity(class_type: str, inputs: Mapping[str, Any], sources: Mapping[str, str], weights: str) -> str:
    """What a node's result is told apart by: a digest of its class, its values, what it is made from, its file."""
    values = {
        name: [sources.get(value[0], ""), value[1]] if is_link(value) else value for name, value in inputs.items()
    }
    return hashlib.sha256(json.dumps([class_type, values, weights], sort_keys=True).encode()).hexdigest()


def draw(graph: Graph, link: list[Any], seed: str, folder: Path) -> list[bytes]:
    """The PNG-ready pixels of what this link yields, as PNG without text: one for each of the batch.

    A file that is passed on is itself; all else is noise that follows from `seed`.
    """
    from PIL import Image

    node = graph[link[0]]
    if node["class_type"] == "LoadImage":
        with Image.open(input_file(folder, node["inputs"]["image"])) as image:
            return [_png(image.convert("RGB"))]
    width, height, batch = size_of(graph, link, folder)
    pictures = []
    for index in range(batch):
        small = (max(2, width // 8), max(2, height // 8))
        noise = Random(f"{seed}/{index}").randbytes(3 * small[0] * small[1])  # noqa: S311 - pixels, no secret
        pictures.append(_png(Image.frombytes("RGB", small, noise).resize((width, height), Image.Resampling.BICUBIC)))
    return pictures


def size_of(graph: Graph, link: list[Any], folder: Path) -> tuple[int, int, int]:
    """Width and height in pixels, rounded down to multiples of 8, and how many there are."""
    node = graph[link[0]]
    inputs = node["inputs"]
    if node["class_type"] == "LoadImage":
        from PIL import Image

        with Image.open(input_file(folder, inputs["image"])) as image:
            return image.width // 8 * 8, image.height // 8 * 8, 1
    if "batch_size" in inputs:
        return inputs["width"] // 8 * 8, inputs["height"] // 8 * 8, inputs["batch_size"]
    for name in ("latent_image", "samples", "pixels", "images"):
        if name in inputs:
            return size_of(graph, inputs[name], folder)
    return 64, 64, 1


def encode(picture: bytes, texts: Mapping[str, Any], fault: str) -> bytes:
    """The file of a picture, with each text as JSON in a chunk of its own, or what a fault makes of it."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for name, value in texts.items():
        info.add_text(name, json.dumps(value))
    image = Image.open(io.BytesIO(picture))
    if fault == "wrong size":
        image = image.resize((image.width // 2, image.height // 2))  # type: ignore[assignment]
    if fault == "black":
        image = Image.new("RGB", image.size)  # type: ignore[assignment]
    data = _png(image, info)
    return data[: len(data) // 2] if fault == "truncated" else data


def _png(image: Any, info: Any = None) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info, compress_level=1)
    return buffer.getvalue()


def free_name(root: Path, prefix: str) -> tuple[str, str, int]:
    """Subfolder, name and the number that comes after the highest there is; makes the folder.

    Raises ValueError where the prefix leads out of `root`.
    """
    subfolder, name = os.path.split(os.path.normpath(prefix))
    folder = Path(os.path.abspath(root / subfolder))  # noqa: PTH100 - links are not followed
    if folder != root and root not in folder.parents:
        raise ValueError(
            "**** ERROR: Saving image outside the output folder is not allowed."
            f"\n full_output_folder: {folder}\n         output_dir: {root}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    taken = re.compile(re.escape(name) + r"_(\d*)")
    numbers = [int(match[1] or 0) for path in folder.iterdir() if (match := taken.match(path.name))]
    return subfolder, name, max(numbers, default=0) + 1
