"""Changes an item in a prompt source, and nothing else in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imagegen.config.value_edits import is_same
from imagegen.prompts import SourceItem

__all__ = ["edit_source"]


def edit_source(file: str, text: str, item: SourceItem, changes: Mapping[str, Any]) -> str:
    """Return the text of a prompt source, which must be valid, with fields of one item changed.

    Args:
        file: its name, which says what it is.
        text: with its own line ends.
        item: as the source has it.
        changes: by field, `steps` or `comfyui.checkpoint`; None removes it.

    Raises:
        ValueError: it cannot be changed without changing something else.
        ImagegenError: it would not be valid.
    """
    if file.lower().endswith(".csv"):
        from imagegen.prompts.csv import read_csv
        from imagegen.prompts.csv_edits import edit_csv

        read, after = read_csv, edit_csv(text, item.name, changes)
    else:
        from imagegen.prompts.markdown import read_markdown
        from imagegen.prompts.markdown_edits import edit_markdown

        read, after = read_markdown, edit_markdown(text, item, changes)
    before, found = read(file, text.encode("utf-8")), read(file, after.encode("utf-8"))
    if not _is_same_but_for(before, found, item, changes):
        raise ValueError("it cannot be written there without changing something else")
    return after


def _is_same_but_for(
    before: Sequence[SourceItem], after: Sequence[SourceItem], item: SourceItem, changes: Mapping[str, Any]
) -> bool:
    if [one.name for one in before] != [one.name for one in after]:
        return False
    for one, other in zip(before, after, strict=True):
        expected = _flatten(one)
        if one.name == item.name:
            expected |= {key: value.strip() if isinstance(value, str) else value for key, value in changes.items()}
        if not is_same({key: value for key, value in expected.items() if value not in (None, "")}, _flatten(other)):
            return False
    return True


def _flatten(item: SourceItem) -> dict[str, Any]:
    """Return what an item says, by field, without the white space around texts."""
    said: dict[str, Any] = {"prompt": item.prompt, "negative": item.negative}
    for key, value in item.overrides.items():
        if isinstance(value, dict):
            said |= {f"{key}.{option}": inner for option, inner in value.items()}
        else:
            said[key] = value
    stripped = {key: value.strip() if isinstance(value, str) else value for key, value in said.items()}
    return {key: value for key, value in stripped.items() if value not in (None, "")}
