"""Godot 4's SpriteFrames, as a text resource.

The format: https://docs.godotengine.org/en/stable/engine_details/file_formats/tscn.html
The page's path has no `res://`: Godot takes such a path from the folder of the resource itself
(`ResourceLoaderText`, scene/resources/resource_format_text.cpp), so the folder may be anywhere in a project.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from imagegen.images.atlas.atlas import Atlas, Frame

__all__ = ["write_sprite_frames"]


def write_sprite_frames(atlas: Atlas, _: str) -> str:
    """Return SpriteFrames with an AtlasTexture for each frame. A frame of no animation is one of its own name."""
    frames = list(atlas.frames)
    ids = {frame.name: f"AtlasTexture_{re.sub('[^0-9A-Za-z]', '_', frame.name)}" for _, frame in frames}
    numbers = {page.image: number for number, page in enumerate(atlas.pages, 1)}
    lines = [f'[gd_resource type="SpriteFrames" load_steps={len(numbers) + len(frames) + 1} format=3]', ""]
    lines += [
        f'[ext_resource type="Texture2D" path={_quote(image)} id="{number}"]' for image, number in numbers.items()
    ]
    for page, frame in frames:
        lines += ["", *_describe(frame, ids[frame.name], numbers[page.image])]
    if atlas.animations:
        entries = [_animate(name, [ids[one] for one in own], atlas.fps) for name, own in atlas.animations.items()]
    else:
        entries = [_animate(frame.name, [ids[frame.name]], None) for _, frame in frames]
    return "\n".join([*lines, "", "[resource]", f"animations = [{', '.join(entries)}]"]) + "\n"


def _describe(frame: Frame, id_: str, page: int) -> Iterator[str]:
    yield f'[sub_resource type="AtlasTexture" id="{id_}"]'
    yield f'atlas = ExtResource("{page}")'
    yield f"region = Rect2({frame.x}, {frame.y}, {frame.width}, {frame.height})"
    if frame.is_trimmed:  # its offset, and how much larger the picture was
        more = (frame.source_width - frame.width, frame.source_height - frame.height)
        yield f"margin = Rect2({frame.left}, {frame.top}, {more[0]}, {more[1]})"
    yield "filter_clip = true"


def _animate(name: str, textures: Sequence[str], fps: float | None) -> str:
    """Return an entry of SpriteFrames. fps: None if it does not move."""
    frames = ", ".join(f'{{\n"duration": 1.0,\n"texture": SubResource("{texture}")\n}}' for texture in textures)
    loop = "true" if fps else "false"
    speed = float(fps or _DEFAULT_FPS)
    return f'{{\n"frames": [{frames}],\n"loop": {loop},\n"name": &{_quote(name)},\n"speed": {speed}\n}}'


_DEFAULT_FPS = 5  # Godot's own


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
