"""A sheet's index in the formats of game engines and of the web, each made from its JSON index alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from imagegen.images.atlas.atlas import Atlas, read_atlas
from imagegen.images.atlas.css import write_css
from imagegen.images.atlas.godot import write_sprite_frames
from imagegen.images.atlas.libgdx import write_libgdx
from imagegen.images.atlas.texturepacker import write_array, write_phaser
from imagegen.images.atlas.unity import write_unity

WRITERS: Mapping[str, Callable[[Atlas, str], str]] = {
    "texturepacker-array": write_array,
    "phaser": write_phaser,
    "libgdx": write_libgdx,
    "godot": write_sprite_frames,
    "unity": write_unity,
    "css": write_css,
}
"""By the name of the index in a job. The second argument is the job's name, which is that of the sheet in a game."""


def convert_index(format_: str, index: bytes, name: str) -> bytes:
    """Return a sheet's JSON index in another format. name: of the job."""
    return WRITERS[format_](read_atlas(index), name).encode("utf-8")
