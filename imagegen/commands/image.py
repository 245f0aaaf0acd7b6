"""`doit image --prompt "…"`: one-off images, without a job file."""

from __future__ import annotations

from typing import Any

from doit.exceptions import TaskFailed

from imagegen.commands.acting import command
from imagegen.commands.build import current_build
from imagegen.commands.command import define, option
from imagegen.config.job import FORMATS

__all__ = [
    "task_image",
]


FOLDER = "assets/images"


_IMAGE = define(
    "image",
    "Generate one-off images, without a job file.",
    {
        'doit image --prompt "a raven on a standing stone"': f"writes {FOLDER}/a-raven-on-a-standing-stone.png",
        'doit image --prompt "a raven" --count 4 --out drafts/': "four seeds, in a folder of their own",
        "doit image --like assets/portraits/mallsing.png --steps 40": "that image's settings, but for the steps",
        'doit image --prompt "a raven" --save jobs/scraps.yaml': "also makes it an item of that job",
    },
    [
        option("prompt", list, [], "what to generate; several make a small batch"),
        option("name", str, None, "name of the image, and of its file [default: the prompt's first words]"),
        option("negative", str, None, "negative prompt"),
        option("width", int, None, "pixels"),
        option("height", int, None, "pixels"),
        option("steps", int, None, "sampling steps"),
        option("cfg", float, None, "how closely the prompt is followed (CFG scale)"),
        option("sampler", str, None, "the sampler's name", value="NAME"),
        option("scheduler", str, None, "the scheduler's name", value="NAME"),
        option("seed", int, None, "the seed [default: it follows from the name]"),
        option("backend", str, None, "placeholder, comfyui or ollama [default: as the settings say]", value="NAME"),
        option("model", str, None, "the checkpoint or model ID, for a backend that has them", value="NAME"),
        option("count", int, 1, "images of each prompt, told apart by their seeds: NAME-1, NAME-2 and so on"),
        option("like", str, None, "an image whose settings are taken, unless another option gives them", value="FILE"),
        option("save", str, None, "a job file, such as jobs/scraps.yaml, that gets the image as an item", value="FILE"),
        option(
            "format",
            str,
            None,
            "the file's format, where --out has no ending [default: png]",
            choices=tuple(FORMATS),
        ),
        option("out", str, None, f"the file to write, or a folder, ending in / [default: {FOLDER}/]", value="PATH"),
    ],
)


def task_image() -> dict[str, Any]:
    """The command `image`."""
    return command(_IMAGE, _image)


def _image(prompt: list[str], **options: Any) -> TaskFailed | None:
    """doit hands in the parameters by these names."""
    from imagegen.commands.one_off import make_images  # what it needs, no other task does

    text = make_images(current_build(), prompt, options, FOLDER)
    if not text:
        return None
    print(text)
    return TaskFailed(text, report=False)
