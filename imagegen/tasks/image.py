"""`doit image --prompt "…"`: one-off images, without a job file."""

from __future__ import annotations

from typing import Any

from doit.exceptions import TaskFailed

from imagegen.tasks.acting import command
from imagegen.tasks.build import current_build

__all__ = ["task_image"]

FOLDER = "assets/images"


def _option(name: str, kind: type, text: str, default: Any = None) -> dict[str, Any]:
    return {"name": name, "long": name, "type": kind, "default": default, "help": text}


_OPTIONS = [
    _option("prompt", list, "what to draw; several make a small batch (--prompt='a=b' where it has a = in it)", []),
    _option("name", str, "name of the image, and of its file [the prompt's first words]"),
    _option("negative", str, "negative prompt"),
    _option("width", int, "pixels"),
    _option("height", int, "pixels"),
    _option("steps", int, "sampling steps"),
    _option("seed", int, "the seed [it follows from the name]"),
    _option("backend", str, "placeholder, comfyui or ollama [as the settings say]"),
    _option("model", str, "the checkpoint or model ID, for a backend that has them"),
    _option("count", int, "images of each prompt, told apart by their seeds: NAME-1, NAME-2 and so on", 1),
    _option("like", str, "an image whose settings are taken, prompt, seed and backend too; other options go before"),
    _option("save", str, "a job file, jobs/scraps.yaml for example, that gets what was made as an item"),
    _option("out", str, f"the file to write, or the folder [{FOLDER}]"),
]


def task_image() -> dict[str, Any]:
    """Make one-off images: doit image --prompt "a raven on a standing stone"."""
    return command(_image, params=_OPTIONS)


def _image(prompt: list[str], **options: Any) -> TaskFailed | None:
    """doit hands in the parameters by these names."""
    from imagegen.tasks.one_off import make_images  # what it needs, no other task does

    text = make_images(current_build(), prompt, options, FOLDER)
    if not text:
        return None
    print(text)
    return TaskFailed(text, report=False)
