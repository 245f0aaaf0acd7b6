"""TexturePacker's JSON as an array, and Phaser's multi-atlas, which has several of them and animations.

The frame objects: https://www.codeandweb.com/texturepacker/documentation
Phaser: https://docs.phaser.io/api-documentation/class/loader-loaderplugin#multiatlas, and its `AnimationManager.toJSON`
"""

from __future__ import annotations

import json
from typing import Any

from imagegen.images.atlas.atlas import PIXELS, Atlas, Frame, describe_frame

__all__ = ["write_array", "write_phaser"]


def write_array(atlas: Atlas, _: str) -> str:
    """Return the index of a sheet of one page."""
    (page,) = atlas.pages
    size = {"w": page.width, "h": page.height}
    meta: dict[str, Any] = {"image": page.image, "format": PIXELS, "size": size, "scale": "1"}
    found: dict[str, Any] = {"frames": list(map(_describe, page.frames))}
    if atlas.animations:
        found |= {"animations": atlas.animations}
        meta |= {"fps": atlas.fps}
    return _encode({**found, "meta": meta})


def write_phaser(atlas: Atlas, name: str) -> str:
    """Return what Phaser loads twice: as the multi-atlas of this name, and as its animations."""
    textures = [
        {
            "image": page.image,
            "format": PIXELS,
            "size": {"w": page.width, "h": page.height},
            "scale": 1,
            "frames": list(map(_describe, page.frames)),
        }
        for page in atlas.pages
    ]
    animations = [
        {
            "key": animation,
            "type": "frame",
            "frames": [{"key": name, "frame": frame} for frame in frames],
            "frameRate": atlas.fps,
            "repeat": -1,
        }
        for animation, frames in atlas.animations.items()
    ]
    return _encode({"textures": textures, **({"anims": animations} if animations else {})})


def _describe(frame: Frame) -> dict[str, Any]:
    return {"filename": frame.name, **describe_frame(frame)}


def _encode(found: dict[str, Any]) -> str:
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"
