"""The names that no job may have: on the command line, each is a command."""

from __future__ import annotations

__all__ = ["OUR_NAMES", "RESERVED_NAMES"]

_OF_DOIT = """
clean dumpdb forget help ignore info list reset-dep run strace tabcompletion
"""
_OURS = """
accept comfyui disclosure doctor gallery image mark models ollama pick presets preview prune reroll
restore review schema sd server settings store verify watch why
"""
OUR_NAMES = frozenset(_OURS.split())
"""Those of our commands."""
RESERVED_NAMES = OUR_NAMES.union(_OF_DOIT.split())
"""Of a command with a colon in its name, what is before the colon."""
