"""A small sheet of two pages, in each format."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any, get_args

import pytest

from imagegen.config.job import INDEX_FILES
from imagegen.config.schema import SheetIndex
from imagegen.images.atlas import WRITERS, convert_index
from imagegen.images.atlas.atlas import Frame, read_atlas
from imagegen.images.atlas.unity import read_importer
from imagegen.images.packed_sheet import Part, write_packed_index
from imagegen.images.packing import Packing
from imagegen.images.sheet import Grid, write_grid_index

RULES = Packing(padding=2, extrude=0, max_size=16, power_of_two=False)
PARTS = {"yrr-1": Part(12, 10, (3, 2, 11, 9)), "yrr-2": Part(8, 7, (0, 0, 8, 7)), "okka": Part(9, 9, (0, 0, 9, 9))}
ANIMATIONS = {"yrr walk": ["yrr-1", "yrr-2"], "okka walk": ["okka"]}
TWO_PAGES = write_packed_index(PARTS, RULES, ["sheet.png", "sheet-2.png"], ANIMATIONS, 8)
ONE_PAGE = write_packed_index({"yrr-1": PARTS["yrr-1"]}, RULES, ["sheet.png"])


def test_each_index_that_a_job_can_name_is_written() -> None:
    assert {"texturepacker", *WRITERS} == {*get_args(SheetIndex)} == {*INDEX_FILES}
    assert len(set(INDEX_FILES.values())) == len(INDEX_FILES)


def test_the_index_is_read_as_it_was_meant() -> None:
    atlas = read_atlas(TWO_PAGES)
    assert [(page.image, page.width, page.height) for page in atlas.pages] == [
        ("sheet.png", 8, 16),
        ("sheet-2.png", 9, 9),
    ]
    assert [frame for _, frame in atlas.frames] == [
        Frame("yrr-1", 0, 0, 8, 7, 3, 2, 12, 10),
        Frame("yrr-2", 0, 9, 8, 7, 0, 0, 8, 7),
        Frame("okka", 0, 0, 9, 9, 0, 0, 9, 9),
    ]
    assert (atlas.animations, atlas.fps) == (ANIMATIONS, 8)
    (frame,) = read_atlas(ONE_PAGE).pages[0].frames
    assert (frame.right, frame.bottom, frame.is_trimmed) == (1, 1, True)


def test_a_grid_is_read_too() -> None:
    atlas = read_atlas(write_grid_index({"a": (20, 10)}, Grid(1, 10), "sheet.png"))
    assert [frame for _, frame in atlas.frames] == [Frame("a", 0, 2, 10, 5, 0, 0, 10, 5)]
    animated = write_grid_index({"a": (20, 10)}, Grid(1, 10), "sheet.png", {"walk": ["a"]}, 12.5)
    assert read_atlas(animated).fps == json.loads(animated)["meta"]["fps"] == 12.5


LIBGDX = """
sheet.png
size: 8, 16
format: RGBA8888
filter: Linear, Linear
repeat: none
yrr walk
  rotate: false
  xy: 0, 0
  size: 8, 7
  orig: 12, 10
  offset: 3, 1
  index: 0
yrr walk
  rotate: false
  xy: 0, 9
  size: 8, 7
  orig: 8, 7
  offset: 0, 0
  index: 1

sheet-2.png
size: 9, 9
format: RGBA8888
filter: Linear, Linear
repeat: none
okka walk
  rotate: false
  xy: 0, 0
  size: 9, 9
  orig: 9, 9
  offset: 0, 0
  index: 0
"""
GODOT = """[gd_resource type="SpriteFrames" load_steps=6 format=3]

[ext_resource type="Texture2D" path="sheet.png" id="1"]
[ext_resource type="Texture2D" path="sheet-2.png" id="2"]

[sub_resource type="AtlasTexture" id="AtlasTexture_yrr_1"]
atlas = ExtResource("1")
region = Rect2(0, 0, 8, 7)
margin = Rect2(3, 2, 4, 3)
filter_clip = true

[sub_resource type="AtlasTexture" id="AtlasTexture_yrr_2"]
atlas = ExtResource("1")
region = Rect2(0, 9, 8, 7)
filter_clip = true

[sub_resource type="AtlasTexture" id="AtlasTexture_okka"]
atlas = ExtResource("2")
region = Rect2(0, 0, 9, 9)
filter_clip = true

[resource]
animations = [{
"frames": [{
"duration": 1.0,
"texture": SubResource("AtlasTexture_yrr_1")
}, {
"duration": 1.0,
"texture": SubResource("AtlasTexture_yrr_2")
}],
"loop": true,
"name": &"yrr walk",
"speed": 8.0
}, {
"frames": [{
"duration": 1.0,
"texture": SubResource("AtlasTexture_okka")
}],
"loop": true,
"name": &"okka walk",
"speed": 8.0
}]
"""
CSS = """.j-yrr-1,
.j-yrr-2,
.j--yrr\\ walk {
  display: inline-block;
  box-sizing: border-box;
  background: url("sheet.png") no-repeat content-box;
}
.j-yrr-1 { background-position: 0 0; width: 12px; height: 10px; padding: 2px 1px 1px 3px }
.j-yrr-2 { background-position: 0 -9px; width: 8px; height: 7px; padding: 0 }
@keyframes j--yrr\\ walk {
  0% { background-position: 0 0; width: 12px; height: 10px; padding: 2px 1px 1px 3px }
  50% { background-position: 0 -9px; width: 8px; height: 7px; padding: 0 }
}
.j--yrr\\ walk { animation: j--yrr\\ walk 0.25s step-end infinite }
.j-okka,
.j--okka\\ walk {
  display: inline-block;
  box-sizing: border-box;
  background: url("sheet-2.png") no-repeat content-box;
}
.j-okka { background-position: 0 0; width: 9px; height: 9px; padding: 0 }
@keyframes j--okka\\ walk {
  0% { background-position: 0 0; width: 9px; height: 9px; padding: 0 }
}
.j--okka\\ walk { animation: j--okka\\ walk 0.125s step-end infinite }
"""


@pytest.mark.parametrize(("format_", "text"), [("libgdx", LIBGDX), ("godot", GODOT), ("css", CSS)])
def test_a_text_index_is_this(format_: str, text: str) -> None:
    assert convert_index(format_, TWO_PAGES, "j").decode() == text


def test_without_animations_each_frame_has_its_own_name() -> None:
    assert "\nyrr-1\n" in convert_index("libgdx", ONE_PAGE, "j").decode()
    assert "  index: -1\n" in convert_index("libgdx", ONE_PAGE, "j").decode()
    assert '"loop": false,\n"name": &"yrr-1",\n"speed": 5.0\n' in convert_index("godot", ONE_PAGE, "j").decode()
    assert "anims" not in json.loads(convert_index("phaser", ONE_PAGE, "j"))
    assert "@keyframes" not in convert_index("css", ONE_PAGE, "j").decode()


def test_names_that_css_would_take_for_something_else_are_escaped() -> None:
    part = Part(1, 1, (0, 0, 1, 1))
    css = convert_index(
        "css", write_packed_index({"a": part}, RULES, ['x"\\y.png'], {"a/b.c": ["a"]}, 1), "2nd job"
    ).decode()
    assert css.startswith(".\\32 nd\\ job-a,\n.\\32 nd\\ job--a\\/b\\.c {")
    assert 'url("x\\"\\\\y.png")' in css


def phaser_frame(name: str, at: tuple[int, ...], source: tuple[int, ...], size: tuple[int, int]) -> dict[str, Any]:
    return {
        "filename": name,
        "frame": dict(zip("xywh", at, strict=True)),
        "rotated": False,
        "trimmed": at[2:] != size,
        "spriteSourceSize": dict(zip("xywh", source, strict=True)),
        "sourceSize": dict(zip("wh", size, strict=True)),
    }


def test_phaser_has_several_textures_and_their_animations() -> None:
    said = json.loads(convert_index("phaser", TWO_PAGES, "j"))
    assert said["textures"] == [
        {
            "image": "sheet.png",
            "format": "RGBA8888",
            "size": {"w": 8, "h": 16},
            "scale": 1,
            "frames": [
                phaser_frame("yrr-1", (0, 0, 8, 7), (3, 2, 8, 7), (12, 10)),
                phaser_frame("yrr-2", (0, 9, 8, 7), (0, 0, 8, 7), (8, 7)),
            ],
        },
        {
            "image": "sheet-2.png",
            "format": "RGBA8888",
            "size": {"w": 9, "h": 9},
            "scale": 1,
            "frames": [phaser_frame("okka", (0, 0, 9, 9), (0, 0, 9, 9), (9, 9))],
        },
    ]
    assert said["anims"][0] == {
        "key": "yrr walk",
        "type": "frame",
        "frames": [{"key": "j", "frame": "yrr-1"}, {"key": "j", "frame": "yrr-2"}],
        "frameRate": 8,
        "repeat": -1,
    }


def test_texturepackers_array_has_a_list_of_frames() -> None:
    said = json.loads(convert_index("texturepacker-array", ONE_PAGE, "j"))
    assert said["frames"] == [phaser_frame("yrr-1", (0, 0, 8, 7), (3, 2, 8, 7), (12, 10))]
    assert said["meta"] == {"image": "sheet.png", "format": "RGBA8888", "size": {"w": 8, "h": 7}, "scale": "1"}


def test_unity_counts_from_below_and_keeps_the_middle_of_the_picture() -> None:
    said = json.loads(convert_index("unity", TWO_PAGES, "j"))
    first = said["textures"][0]["sprites"][0]
    assert first == {"name": "yrr-1", "x": 0, "y": 9, "width": 8, "height": 7, "pivotX": 0.375, "pivotY": 0.571429}
    assert said["animations"] == [
        {"name": "yrr walk", "file": "yrr walk", "sprites": ["yrr-1", "yrr-2"]},
        {"name": "okka walk", "file": "okka walk", "sprites": ["okka"]},
    ]
    assert said["fps"] == 8


def test_each_unity_clip_has_a_file_of_its_own() -> None:
    parts = dict.fromkeys("abcd", PARTS["okka"])
    animations = {"yrr/walk": ["a"], "Yrr-walk": ["b"], "yrr-walk-2": ["c"], "walk": ["d"]}
    one = write_packed_index(parts, replace(RULES, max_size=64), ["sheet.png"], animations, 8)
    files = [clip["file"] for clip in json.loads(convert_index("unity", one, "j"))["animations"]]
    assert files == ["yrr-walk", "Yrr-walk-2", "yrr-walk-2-2", "walk"]


def test_the_script_for_unity_reads_each_key_of_its_index() -> None:
    said = json.loads(convert_index("unity", TWO_PAGES, "j"))
    texture, clip = said["textures"][0], said["animations"][0]
    fields = {"Index": said, "Page": texture, "Part": texture["sprites"][0], "Clip": clip}
    script = read_importer()
    for name, keys in fields.items():
        (declared,) = re.findall(rf"\[Serializable\] class {name} {{ (.*) }}", script)
        found = [
            one
            for line in declared.split(";")
            if line
            for one in line.split(" ", 2)[-1].rpartition("> ")[2].split(", ")
        ]
        assert [one.split(" ")[-1] for one in found] == [*keys]
