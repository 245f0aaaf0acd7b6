"""What a call answers: the result of a command, not too long, and with hints that are for an agent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import mcp_types as types

from imagegen.agents.tools import MOST_LISTED
from imagegen.commands.command import GO_AHEAD
from imagegen.execute.budget import LIFT_BUDGET, RAISE_BUDGET

__all__ = ["answer_call"]

_HINTS = {
    RAISE_BUDGET: "ask the person what it may cost, then give that as budget",
    LIFT_BUDGET: "a person can lift the budget, in a terminal: doit budget=none",
    GO_AHEAD: "a person can agree to it, in a terminal: ",
}
"""What is for a person to do, as an agent is to understand it."""


def answer_call(found: Mapping[str, Any], offset: int = 0, *, is_error: bool) -> types.CallToolResult:
    """Return what a command answered: as data, and as text for clients that show nothing else."""
    found, said = _shorten(_reword(found), offset)
    texts = [*said, json.dumps(found, ensure_ascii=False)]
    content: list[types.ContentBlock] = [types.TextContent(type="text", text=text) for text in texts]
    return types.CallToolResult(content=content, structured_content=found, is_error=is_error)


def _shorten(found: Mapping[str, Any], offset: int) -> tuple[dict[str, Any], list[str]]:
    """Return a result as a model can read it, and what was left out: a project may have thousands of images."""
    said = []
    result = found["result"]
    if found["command"] == "list" and result:  # which doit's commands and other tasks are among
        result = {**result, "tasks": [task for task in result["tasks"] if task["kind"] in ("job", "image")]}
    if result:  # what sums up comes first, before lists that may be long
        result = dict(sorted(result.items(), key=lambda one: isinstance(one[1], list)))
    for key, value in (result or {}).items():
        if isinstance(value, list) and (offset or len(value) > MOST_LISTED):
            result[key] = part = value[offset : offset + MOST_LISTED]
            shown = f"{offset + 1} to {offset + len(part)}" if part else "none"
            said.append(f"{key}: {shown} of {len(value)}; offset says how many to leave out at the beginning")
    problems = found["problems"]
    if len(problems) > MOST_LISTED:
        said.append(f"problems: only the first {MOST_LISTED} of {len(problems)} are here")
    return {**found, "problems": problems[:MOST_LISTED], "result": result}, said


def _reword(found: Any) -> Any:
    """Return what a command answered, with hints that leave to a person what is for a person."""
    if isinstance(found, list):
        return [*map(_reword, found)]
    if not isinstance(found, Mapping):
        return found
    reworded = {key: _reword(value) for key, value in found.items()}
    if isinstance(hint := found.get("hint"), str):
        for text, instead in _HINTS.items():
            hint = hint.replace(text, instead)
        reworded["hint"] = hint
    return reworded
