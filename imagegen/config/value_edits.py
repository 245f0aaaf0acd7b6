"""Sets, adds and removes single values in the text of a job file. Everything else stays as it is, to the last blank."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from imagegen.config.document import Location, read_document
from imagegen.config.line_breaks import break_lines
from imagegen.config.text_nodes import (
    Node,
    find_next_line,
    format_flow,
    format_scalar,
    insert_entry,
    parse_nodes,
    quote,
    reads_back,
)

__all__ = ["edit_values", "is_same"]

_LONG = 100
"""Characters of a text that stays on one line; a longer one, if it is new, is a block of lines."""
_WIDTH = 88
"""Characters of a line in such a block."""
_OVER = 8
"""Characters that a changed line may be longer than those that were there: else a word more breaks two lines."""
_COMMENT = re.compile(r"[ \t]+#[^\r\n]*")
_LINE_END = re.compile(r"\r?\n\Z")


class _Form(NamedTuple):
    """A value as it can be written: its first line, the others, and whether a comment stands behind the first."""

    first: str
    others: list[str]
    is_block: bool = False


def edit_values(name: str, text: str, changes: Mapping[Location, Any]) -> str:
    """Return the text of a valid file with these values changed, and nothing else.

    Args:
        name: of the file: JSON if it ends so, else YAML.
        text: of the file, with its own line ends.
        changes: the new text or number at each location; None removes it, and a mapping that is then empty.

    Raises:
        ValueError: there is no way to do that and leave everything else as it is.
        ImagegenError: no file can say it.
    """
    expected = copy.deepcopy(read_document(name, text.encode("utf-8")).values)
    newline = "\r\n" if "\r\n" in text else "\n"
    for location, value in changes.items():
        _set(expected, location, value)
        text = _edit(name, text, location, value, newline)
    if not is_same(read_document(name, text.encode("utf-8", "surrogatepass")).values, expected):
        raise ValueError("it cannot be written there without changing something else")
    return text


def is_same(one: Any, other: Any) -> bool:
    """Whether two documents say the same; 1, 1.0 and true are not the same."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)


def _set(values: Any, location: Location, value: Any) -> None:
    """Change a value in a document."""
    key: Any
    key, *below = location
    if below:
        inner = values.setdefault(key, {}) if isinstance(values, dict) else values[key]
        _set(inner, tuple(below), value)
        if value is None and inner == {}:
            del values[key]
    elif value is None:
        values.pop(key, None)
    else:
        values[key] = value


def _edit(name: str, text: str, location: Location, value: Any, newline: str) -> str:
    root, _ = parse_nodes(name, text)
    way = list(_walk(root, location))
    for node in way:
        if node.anchor or node.alias:
            line = text.count("\n", 0, node.start) + 1
            other = f"the alias *{node.alias}" if node.alias else f"the anchor &{node.anchor}"
            raise ValueError(f"line {line} has {other}, so other places would change too")
    is_json = name.lower().endswith(".json")
    if len(way) > len(location):
        if value is None:
            return _remove(text, way, location)
        return _replace(text, way[-2], way[-1], str(location[-1]), value, newline, is_json=is_json)
    if value is None:
        return text
    holder, missing = way[-1], location[len(way) - 1 :]
    if not holder.is_mapping:
        raise ValueError(f"'{location[len(way) - 2]}' is not a mapping" if len(way) > 1 else "it is not a mapping")
    for key in reversed(missing[1:]):
        value = {key: value}
    return _add(text, holder, str(missing[0]), value, newline, is_json=is_json)


def _walk(root: Node, location: Location) -> Iterator[Node]:
    """Yield the nodes on the way to a location, as far as they are there."""
    node: Node | None = root
    yield root
    for key in location:
        assert node is not None  # noqa: S101 - it was yielded
        if isinstance(key, int):
            node = node.inner[key] if node.is_list and key < len(node.inner) else None
        else:
            node = node.value(key) if node.is_mapping else None
        if node is None:
            return
        yield node


# to replace a value


def _replace(text: str, holder: Node, old: Node, key: str, value: Any, newline: str, *, is_json: bool) -> str:
    if old.inner or old.is_list or old.is_mapping:
        raise ValueError(f"'{key}' is not one text or number")
    before, after = text[: old.start], text[old.end :]
    if is_json:
        return before + json.dumps(value, ensure_ascii="\\u" in text[old.start : old.end]) + after
    blank = " " if old.is_empty else ""
    if holder.flow:
        return before + blank + _format_in_flow(value, old) + after
    if old.style in ("|", ">"):
        head = text[old.start : old.end].partition("\n")[0]
        comment = found[0].rstrip() if (found := _COMMENT.search(head)) else ""
        gap = after if after.startswith(("\n", "\r")) or not after else newline + after
    else:
        comment = found[0] if (found := _COMMENT.match(after)) else ""
        gap = after[len(comment) :]
    form = next(_list_forms(text, holder, old, value))
    if form.is_block:
        between = text[text.rfind(":", 0, old.start) + 1 : old.start]
        before = before[: len(before) - len(between)] + " " if not between.strip() else before
        end = newline if not gap and value.endswith("\n") else ""
        return before + blank + newline.join([form.first + comment, *form.others]) + end + gap
    return before + blank + newline.join([form.first, *form.others]) + comment + gap


def _format_in_flow(value: Any, old: Node) -> str:
    if isinstance(value, str) and old.style == "'" and (quoted := _quote_single(value)) and "\n" not in value:
        return quoted
    if isinstance(value, str) and old.style == '"':
        return quote(value)
    return format_flow(value)


def _list_forms(text: str, holder: Node, old: Node | None, value: Any) -> Iterator[_Form]:
    """Yield the forms of a value in a block that read back as it, the best one first. The last one always does."""
    if isinstance(value, str):
        for form in _list_text_forms(text, holder, old, value):
            if form and reads_back("\n".join([f"x: {form.first}", *form.others, ""]), {"x": value}):
                yield form
    yield _Form(format_scalar(value, "{}: {}"), [])


def _list_text_forms(text: str, holder: Node, old: Node | None, value: str) -> Iterator[_Form | None]:
    source = text[old.start : old.end] if old else ""
    lines = [line.strip() for line in source.splitlines()]
    margin = " " * (holder.column + 2)
    if len(lines) > 1 and (found := re.search(r"\n([ \t]+)\S", source)):
        margin = found[1]
    style = old.style if old else ""
    is_folded = style == ">"
    if style in ("|", ">"):
        lines = lines[1:]
    elif len(lines) > 1:
        yield _wrap(value, style, lines, margin)
        is_folded = "\n" not in value
    one_line = _quote_as(value, style)
    is_long = len(value) > _LONG >= len(source)
    if style == "|":
        yield _literal(value, margin)
    if is_folded or (is_long and "\n" not in value):
        yield _fold(value, lines, margin)
    if "\n" in value:
        yield _literal(value, margin)
    yield one_line


def _literal(value: str, margin: str) -> _Form:
    text, chomp = (value[:-1], "") if value.endswith("\n") else (value, "-")
    return _Form(f"|{chomp}", [margin + line if line else "" for line in text.split("\n")], is_block=True)


def _fold(value: str, old: list[str], margin: str) -> _Form:
    text, chomp = (value[:-1], "") if value.endswith("\n") else (value, "-")
    lines = break_lines(text, old, _find_width(old, margin))
    return _Form(f">{chomp}", [margin + line if line else "" for line in lines], is_block=True)


def _wrap(value: str, style: str, old: list[str], margin: str) -> _Form | None:
    """Return a text over several lines without a block, plain or in quotes."""
    if style == '"':
        value = quote(value)
    elif style == "'":
        value = _quote_single(value)
    lines = break_lines(value, old, _find_width(old, margin))
    return _Form(lines[0], [margin + line if line else "" for line in lines[1:]])


def _find_width(old: list[str], margin: str) -> int:
    longest = max(map(len, old), default=0)
    return min(max(longest + _OVER, 40), 160) if len(old) > 1 else max(_WIDTH - len(margin), 40)


def _quote_as(value: str, style: str) -> _Form | None:
    """Return a text on one line in the quotes that it had, or in single ones if it has double ones in it."""
    if style == '"':
        return _Form(quote(value), [])
    if style == "'" or (style == "" and '"' in value and format_scalar(value, "{}: {}") != value):
        return _Form(_quote_single(value), [])
    return None


def _quote_single(value: str) -> str:
    """Return a text in single quotes, which not every text can stand in."""
    return f"'{value.replace(chr(39), chr(39) * 2)}'"


# to add or remove a key


def _add(text: str, holder: Node, key: str, value: Any, newline: str, *, is_json: bool) -> str:
    if is_json:
        return insert_entry(text, holder, 2, f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}", newline)
    if holder.flow:
        return insert_entry(text, holder, 2, format_flow({key: value})[1:-1], newline)
    form = next(_list_forms(text, holder, None, value))
    margin = " " * holder.column
    lines = [f"{margin}{format_scalar(key, '[{1}]')}: {form.first}", *form.others]
    at = find_next_line(text, holder.end)
    if at == len(text) and not text.endswith("\n"):
        last = holder.inner[-2].start
        line = text.rfind("\n", 0, last) + 1
        if "\n" in text[last:] and not text[line:last].strip():  # else a block of lines that ends here would change
            return text[:line] + "".join(line + newline for line in lines) + text[line:]
        return text + newline + newline.join(lines)
    return text[:at] + "".join(line + newline for line in lines) + text[at:]


def _remove(text: str, way: list[Node], location: Location) -> str:
    """Remove the last node on the way, and the mappings above it that are then empty."""
    while len(way) > 2 and len(way[-2].inner) == 2 and way[-2].is_mapping and isinstance(location[-2], str):
        way, location = way[:-1], location[:-1]
    holder, node = way[-2], way[-1]
    index = next(index for index, (_, value) in enumerate(holder.pairs) if value is node)
    if node.is_mapping and "#" in _strip_scalars(text, holder.pairs[index][0].end, node):
        raise ValueError(f"'{location[-1]}' has a comment in it, which would be lost")
    if holder.flow:
        return _remove_from_flow(text, holder, index)
    return _remove_lines(text, holder, index)


def _strip_scalars(text: str, begin: int, node: Node) -> str:
    """Return what stands around the keys and values of a mapping, from `begin` on."""
    parts = []
    for inner in node.inner:
        parts.append(_strip_scalars(text, begin, inner) if inner.inner else text[begin : inner.start])
        begin = inner.end
    return "".join([*parts, text[begin : node.end]])


def _remove_from_flow(text: str, holder: Node, index: int) -> str:
    pairs = holder.pairs
    key, value = pairs[index]
    if index + 1 < len(pairs):
        follower = pairs[index + 1][0].start
        between = text[value.end : follower]
        if "#" in between:
            comma = between.index(",") + 1
            return text[: key.start].rstrip(" ") + between[:comma].rstrip(" ,") + between[comma:] + text[follower:]
        return text[: key.start] + text[follower:]
    begin = pairs[index - 1][1].end if index else key.start
    if "#" in text[begin : key.start]:
        return text[: key.start].rstrip(" ") + text[value.end :].lstrip(" ")
    return text[:begin] + text[value.end :]


def _remove_lines(text: str, holder: Node, index: int) -> str:
    """Remove a key of a block with its lines; a comment beside it stays, on a line of its own."""
    key, value = holder.pairs[index]
    line = text.rfind("\n", 0, key.start) + 1
    end = find_next_line(text, value.end)
    comment = _find_comment(text, key, value)
    margin = text[line : key.start]
    if not margin.strip():
        ending = _LINE_END.search(text[line:end])
        kept = f"{margin}{comment}{ending[0] if ending else ''}" if comment else ""
        return text[:line] + kept + text[end:]
    # on the line of the dash
    if index + 1 == len(holder.pairs):
        raise ValueError("it is all that the item has")
    follower = holder.pairs[index + 1][0].start
    if not comment and not text[end:follower].strip():
        return text[: key.start] + text[follower:]
    return text[: key.start].rstrip() + (f" {comment}" if comment else "") + text[len(text[:end].rstrip("\r\n")) :]


def _find_comment(text: str, key: Node, value: Node) -> str:
    """Return the comment beside a value; of a value in lines below its key, the one beside that."""
    beside = text[value.end :]
    if value.style in ("|", ">"):
        beside = text[value.start : value.end].partition("\n")[0].lstrip("|>+-0123456789")
    elif "\n" in text[key.end : value.start] and "#" in text[key.end : value.start]:
        raise ValueError("a comment stands above the value, which would be lost")
    found = _COMMENT.match(beside)
    return found[0].strip() if found else ""
