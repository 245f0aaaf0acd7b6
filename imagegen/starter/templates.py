"""The texts of a new project's files."""

from __future__ import annotations

from imagegen.state.lockfile import ATTRIBUTES

__all__ = ["ATTRIBUTE_LINES", "DODO", "FIRST_JOB", "IGNORE_RULES", "STAR_IMPORT"]

STAR_IMPORT = "from imagegen.tasks import *"
DODO = f"""\
# `doit` builds this repository's images: see jobs/
{STAR_IMPORT}  # noqa: F403
"""
FIRST_JOB = """\
# yaml-language-server: $schema=../job.schema.json
# Two icons, assets/{name}/rope.png and assets/{name}/lantern.png. Edit a prompt: `doit why` shows what `doit` will do.
description: Icons for the inventory
backend: placeholder  # labelled placeholders; comfyui and ollama generate real images

generate: {{width: 256, height: 256}}
prompt: {{suffix: "game icon, centred, plain background"}}

items:
  - name: Rope
    prompt: a coil of hemp rope
  - name: Lantern
    prompt: a lit brass lantern
"""
"""With `name`, the job's own."""
ATTRIBUTE_LINES = [ATTRIBUTES]
IGNORE_RULES = [
    ".imagegen/",
    ".doit.db*",
    ".venv/",
    "__pycache__/",
    "assets/gallery/",
    "tools/ComfyUI/",
    "tools/ollama/",
    "tools/.ollama-*/",
]
