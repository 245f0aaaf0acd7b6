"""The project's commands: one file each, with its options, its work and its words.

What they have in common is in `command` (what a command is), `command_line` (the words that were typed), `build`
(what one invocation knows) and `up_to_date`. Importing the package declares every command.
"""

from __future__ import annotations

import importlib
from pathlib import Path

for _path in sorted(Path(__file__).parent.glob("[!_]*.py")):
    importlib.import_module(f"{__name__}.{_path.stem}")
