"""Write docs/images/cutout.webp: a flask on stones, before and after the step `cutout` with u2netp.

It needs the extra cutout, and the model: python tools/cutout_picture.py tools/models/cutout/u2netp.onnx
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image
from step_pictures import ROOT, draw_potion, draw_stones, repeat, show_both

from imagegen.config.steps import read_step
from imagegen.images.steps import apply_steps
from imagegen.images.steps.cutout import cutout, load_model

_SIZE = (256, 320)


def draw_scene() -> Image.Image:
    """Return a flask on ground that no colour key could take away."""
    flask = apply_steps(draw_potion(*_SIZE), [read_step("background")], {})
    ground = repeat(draw_stones()).resize((_SIZE[1], _SIZE[1]), Image.Resampling.LANCZOS).crop((0, 0, *_SIZE))
    return Image.alpha_composite(ground.convert("RGBA"), flask).convert("RGB")


if __name__ == "__main__":
    scene, find = draw_scene(), load_model(Path(sys.argv[1]), "u2netp")
    after = cutout(scene, model=lambda picture, _: find(picture))
    show_both(scene, after).save(ROOT / "docs/images/cutout.webp", quality=88, method=6)
