"""`.gitignore` and `.gitattributes` as text: which lines are missing, whatever way the others are written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

__all__ = ["missing_attributes", "missing_rules", "with_lines"]

_TOKEN = re.compile(r"\*\*/|/\*\*$|\*+|\?|\[[!^]?\]?[^]]*\]|\\.|.", re.DOTALL)
_MACROS = {"binary": ["-diff", "-merge", "-text"]}


def missing_rules(text: str, rules: Sequence[str]) -> list[str]:
    """Those of the rules whose files the text of a `.gitignore` neither ignores nor brings back by a `!` of its own."""
    written = [line for line in map(_without_spaces, text.splitlines()) if line and not line.startswith("#")]
    return [rule for rule in rules if not any(_matches(line.removeprefix("!"), _sample(rule)) for line in written)]


def missing_attributes(text: str, lines: Sequence[str]) -> list[str]:
    """Those lines of a `.gitattributes` that would set an attribute, but for `text`, which the text sets otherwise."""
    missing = []
    for line in lines:
        pattern, *wanted = line.split()
        found = _attributes(text, pattern.replace("*", "x"))
        if any(found.get(name) != value for name, value in _settings(wanted) if name != "text"):
            missing.append(line)
    return missing


def with_lines(data: bytes, lines: Sequence[str]) -> bytes:
    """What to append to a file of these bytes so that it has the lines too, with line ends as it has them."""
    end = b"\r\n" if b"\r\n" in data else b"\n"
    head = b"" if not data or data.endswith(b"\n") else end
    return head + b"".join(line.encode("utf-8") + end for line in lines)


def _sample(rule: str) -> str:
    """A path that the rule ignores, of a kind that is really there: `*.pyc` is as good as `__pycache__/`."""
    name = rule.replace("*", "")
    if not name.endswith("/"):
        return name
    return f"{name}dodo.pyc" if name == "__pycache__/" else f"{name}x"


def _attributes(text: str, path: str) -> dict[str, str | bool]:
    found: dict[str, str | bool] = {}
    for line in text.splitlines():
        match = re.match(r'\s*(?:"([^"]+)"|([^\s#]\S*))\s+(.*)', line)
        if match and _matches_file(match[1] or match[2], path):
            found.update(_settings(match[3].split()))
    return found


def _settings(words: Sequence[str]) -> Iterator[tuple[str, str | bool]]:
    for word in words:
        yield from _settings(_MACROS.get(word, []))
        name, has_value, value = word.lstrip("-!").partition("=")
        yield name, value if has_value else not word.startswith(("-", "!"))


def _matches(pattern: str, path: str) -> bool:
    """Whether the pattern of an ignore rule matches the file, or a folder that it lies in."""
    folders = [parent.as_posix() for parent in PurePosixPath(path).parents if parent.name]
    if pattern.endswith("/"):
        return any(_matches_file(pattern.rstrip("/"), folder) for folder in folders)
    return any(_matches_file(pattern, one) for one in (path, *folders))


def _matches_file(pattern: str, path: str) -> bool:
    prefix = "" if "/" in pattern else "(?:.*/)?"
    try:
        return re.fullmatch(prefix + _TOKEN.sub(_as_regex, pattern.removeprefix("/")), path) is not None
    except re.error:  # no pattern for git either
        return False


def _as_regex(token: re.Match[str]) -> str:
    text = token[0]
    if text == "**/":
        return "(?:.*/)?"
    if text == "/**":
        return "/.*"
    if text.startswith("*"):
        return "[^/]*"
    if text == "?":
        return "[^/]"
    if len(text) > 2 and text.startswith("["):
        return "[" + ("^" if text[1] in "!^" else "") + re.escape(text[1:-1].lstrip("!^")).replace(r"\-", "-") + "]"
    return re.escape(text[1:] if len(text) == 2 and text.startswith("\\") else text)


def _without_spaces(line: str) -> str:
    """Spaces at the end count for git only after a backslash."""
    return re.sub(r"(?<!\\)[ \t]+$", "", line.lstrip("\ufeff"))
