"""One prompt's way through the fake server: which nodes are executed, what is cached, the events that are sent."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.backends.comfyui.fake_server.nodes import Graph, input_file, is_link
from tests.backends.comfyui.fake_server.sockets import Sockets
from tests.backends.comfyui.fake_server.world import Fault, World

__all__ = [
    "Execution",
    "Outcome",
    "Result",
    "draw",
    "encode",
    "free_name",
    "identity",
    "size_of",
]


_SAMPLERS = ("KSampler", "KSamplerAdvanced", "SamplerCustomAdvanced")
_MEMORY = (
    "Allocation on device 0 would exceed allowed memory. (out of memory)"
    "\nThis error means you ran out of memory on your GPU."
    "\n\nTIPS: If the workflow worked before you might have accidentally set the batch_size to a large number."
)


@dataclass(frozen=True)
class Result:
    """What a node yielded: a digest of it, and an output node's images."""

    digest: str
    images: list[dict[str, str]] | None = None


@dataclass
class Outcome:
    """How it ended: what history says, but for the prompt. page: its images are answered with an HTML page."""

    entry: dict[str, Any]
    images: list[dict[str, str]] = field(default_factory=list)
    page: bool = False


class _Interrupted(Exception):  # noqa: N818 - somebody asked for it
    pass


class _Failed(Exception):  # noqa: N818 - what the fault says, or a prefix that leads out
    def __init__(self, message: str, exception_type: str) -> None:
        super().__init__(message)
        self.exception_type = exception_type


class Execution:
    """`cache` holds the last prompt's results by what ComfyUI tells nodes apart by, and is left with this one's."""

    def __init__(self, world: World, sockets: Sockets, interrupt: threading.Event, cache: dict[str, Result]) -> None:
        self._world, self._sockets, self._interrupt, self._cache = world, sockets, interrupt, cache
        self._folder = world.folder / "input"
        self._messages: list[list[Any]] = []
        self._progress: dict[str, dict[str, Any]] = {}

    def run(
        self, id_: str, graph: Graph, outputs: list[str], extra_data: dict[str, Any], fault: Fault | None
    ) -> Outcome:
        """Execute the outputs and all that they are made from."""
        self._id, self._graph, self._extra, self._fault = id_, graph, extra_data, fault
        self._client = extra_data.get("client_id")
        self._message("execution_start")
        self._keys = self._cache_keys()
        kept = {} if fault else {key: self._cache[key] for key in self._keys.values() if key in self._cache}
        self._cache.clear()
        self._cache.update(kept)
        self._message("execution_cached", nodes=[node for node in graph if self._keys.get(node) in kept])
        results: dict[str, Result] = {}
        executed: list[str] = []
        node = ""
        success = False
        try:
            for node in () if self._kind == "node errors" else self._order(outputs):
                results[node] = self._node(node, results)
                executed.append(node)
            success = True
            self._message("execution_success")
        except _Interrupted:
            where = {"node_id": node, "node_type": graph[node]["class_type"], "executed": executed}
            self._message("execution_interrupted", **where)
        except _Failed as failed:
            self._message(
                "execution_error",
                node_id=node,
                node_type=graph[node]["class_type"],
                executed=executed,
                exception_message=str(failed),
                exception_type=failed.exception_type,
                traceback=["  File …, in execute\n"],
                current_inputs={name: [value] for name, value in self._inputs(node).items() if not is_link(value)},
                current_outputs=list(executed),
            )
        found = {node: result.images for node, result in results.items() if result.images is not None and success}
        shown = {} if self._kind == "no outputs" else found
        status = {"status_str": "success" if success else "error", "completed": success, "messages": self._messages}
        where_from = {"parent_node": None}
        meta = {n: {"node_id": n, "display_node": n, **where_from, "real_node_id": n} for n in shown}
        entry = {"outputs": {n: {"images": images} for n, images in shown.items()}, "status": status, "meta": meta}
        images = [image for images in found.values() for image in images]
        if self._kind == "missing file":
            for image in images:
                (self._world.folder / image["type"] / image["subfolder"] / image["filename"]).unlink()
        return Outcome(entry, images, self._kind == "html")

    @property
    def _kind(self) -> str:
        return self._fault.kind if self._fault else ""

    def _cache_keys(self) -> dict[str, str]:
        """By node: its class, values and ancestors, and an input image's content; not the content of a model's file."""
        keys: dict[str, str] = {}
        for node in self._order(list(self._graph)):
            inputs = self._inputs(node)
            image = input_file(self._folder, inputs["image"]) if self._class(node) == "LoadImage" else None
            keys[node] = identity(self._class(node), inputs, keys, _digest(image) if image else "")
        return keys

    def _order(self, outputs: list[str]) -> list[str]:
        """These nodes after all that they are made from. Links that lead nowhere are left out."""
        order: list[str] = []
        seen: set[str] = set()

        def visit(node: str) -> None:
            if node in seen or node not in self._graph:
                return
            seen.add(node)
            for source in _sources(self._inputs(node)):
                visit(source)
            order.append(node)

        for output in outputs:
            visit(output)
        return order

    def _class(self, node: str) -> str:
        return str(self._graph[node]["class_type"])

    def _inputs(self, node: str) -> dict[str, Any]:
        return self._graph[node].get("inputs", {})  # type: ignore[no-any-return]

    def _node(self, node: str, results: dict[str, Result]) -> Result:
        key = self._keys[node]
        if key in self._cache:
            cached = self._cache[key]
            if self._client is None and not self._world.since(0, 28):
                return Result(cached.digest)
            if cached.images is not None:
                self._send("executed", node=node, display_node=node, output={"images": cached.images})
            return cached
        if self._interrupt.is_set():
            raise _Interrupted
        self._state(node, 0.0, 1.0, "running")
        self._send("executing", node=node, display_node=node)
        self._strike(node)
        inputs = self._inputs(node)
        digests = {source: results[source].digest for source in _sources(self._inputs(node))}
        values = {name: value for name, value in inputs.items() if name != "filename_prefix"}
        result = Result(identity(self._class(node), values, digests, self._weights(node)))
        if self._class(node) == "CheckpointLoaderSimple" and self._interrupt.wait(self._world.loading):
            raise _Interrupted
        if self._class(node) in _SAMPLERS:
            self._sample(node)
        if self._class(node) in ("SaveImage", "PreviewImage"):
            result = Result(result.digest, self._save(node, digests))
            self._send("executed", node=node, display_node=node, output={"images": result.images})
        last = self._progress[node]
        self._state(node, last["max"], last["max"], "finished")
        self._cache[key] = result
        return result

    def _strike(self, node: str) -> None:
        """Fail here, where the prompt's fault says so: at its node, else at the sampler, else at the output."""
        if self._fault is None:
            return
        sampler = next((n for n in self._graph if self._class(n) in _SAMPLERS), "")
        if (self._fault.node or sampler or node) not in (node, self._class(node)):
            return
        if self._kind == "error":
            raise _Failed(self._fault.message + "\n", self._fault.exception_type)
        if self._kind == "out of memory":
            raise _Failed(_MEMORY, "torch.OutOfMemoryError")
        if self._kind == "hangs":
            self._interrupt.wait()
        if self._kind in ("hangs", "interrupted"):
            raise _Interrupted

    def _weights(self, node: str) -> str:
        """The content of the file that a node reads, when it reads it."""
        inputs = self._inputs(node)
        if self._class(node) == "CheckpointLoaderSimple":
            return self._world.checkpoints.get(inputs["ckpt_name"], "")
        return _digest(input_file(self._folder, inputs["image"])) if self._class(node) == "LoadImage" else ""

    def _sample(self, node: str) -> None:
        steps = self._world.steps or next(self._upstream(node, "steps"), 1)
        begin, seconds = time.monotonic(), self._world.seconds
        for step in range(1, steps + 1):
            if self._interrupt.wait(max(0.0, begin + seconds * step / steps - time.monotonic())):
                raise _Interrupted
            self._state(node, step, steps, "running")
            self._send("progress", broadcast=True, value=step, max=steps, node=node)

    def _upstream(self, node: str, name: str) -> Iterator[Any]:
        inputs = self._inputs(node)
        if name in inputs and not is_link(inputs[name]):
            yield inputs[name]
        for source in _sources(self._inputs(node)):
            yield from self._upstream(source, name)

    def _save(self, node: str, digests: dict[str, str]) -> list[dict[str, str]]:
        inputs = self._inputs(node)
        kind = "output" if self._class(node) == "SaveImage" else "temp"
        root = self._world.folder / kind
        try:
            subfolder, name, number = free_name(root, inputs.get("filename_prefix", "ComfyUI_temp_stand"))
        except ValueError as error:
            raise _Failed(f"{error}\n", "Exception") from None
        link = inputs["images"]
        texts = {"prompt": self._graph, **(self._extra.get("extra_pnginfo") or {})}
        images = []
        for index, picture in enumerate(draw(self._graph, link, digests[link[0]], self._folder)):
            file = f"{name}_{number + index:05}_.png"
            (root / subfolder / file).write_bytes(encode(picture, texts, self._kind))
            images.append({"filename": file, "subfolder": subfolder, "type": kind})
        return images

    def _message(self, event: str, **data: Any) -> None:
        """An event that history keeps. An interruption is told to all where nobody in particular asked."""
        data = {"prompt_id": self._id, **data, "timestamp": int(time.time() * 1000)}
        self._messages.append([event, data])
        if self._client is not None or event == "execution_interrupted":
            self._sockets.send(event, data, self._client)

    def _send(self, event: str, *, broadcast: bool = False, **data: Any) -> None:
        if self._client is not None or broadcast:
            self._sockets.send(event, {**data, "prompt_id": self._id}, self._client)

    def _state(self, node: str, value: float, maximum: float, state: str) -> None:
        ids = {"node_id": node, "prompt_id": self._id, "display_node_id": node, "parent_node_id": None}
        self._progress[node] = {"value": value, "max": maximum, "state": state, **ids, "real_node_id": node}
        self._send("progress_state", nodes=dict(self._progress))


def _sources(inputs: dict[str, Any]) -> list[str]:
    return [value[0] for value in inputs.values() if is_link(value)]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


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
