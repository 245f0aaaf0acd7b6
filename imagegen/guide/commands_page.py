"""docs/commands.md: every command with its options, its examples and what it answers, from their declarations."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from imagegen.commands.command import Command, spell
from imagegen.commands.schema import results_text
from imagegen.guide.facts import ANSWER, EXIT_CODES, OF_DOIT, OF_IMAGEGEN, grouped, table
from imagegen.report.doit_results import DOIT_RESULTS
from imagegen.run_options import RUN_OPTIONS

__all__ = ["commands_page"]

_HEAD = """\
# Commands

<!-- Written by tools/commands_page.py from what the commands say of themselves. Do not edit. -->

Every command with its options, and what it answers a program. `doit help` lists them, and `doit NAME --help` shows the
same as this page. The [README](../README.md#commands) has the most useful ones in short.

Where a command takes `IMAGE`, `JOB:NAME` and the path of the file both name one. If an item has variants, `JOB:NAME`
stands for all of them, and `JOB:NAME-v2` for one. `JOB` stands for all images of a job, and a pattern such as
`'portraits:m*'` for those that it matches. Settings can be given to every command as
`name=value`, for example `backend=sd`: see [settings.md](settings.md). From a subfolder, add `-k`: `doit -k why`.
"""
_BUILD = """\
`doit` alone builds every job. The [README](../README.md#commands) shows what it prints, and
[scripting.md](scripting.md) the rest of what a program needs.
"""
_ANSWERS = """\
With `--json`, a command prints lines of JSON and nothing else. The last one is its answer:
"""


def commands_page() -> str:
    """Return the text of the page."""
    groups = grouped()
    schema = json.loads(results_text())
    kinds: dict[str, Any] = schema["$defs"]
    results = dict(_read_results(schema))
    lines = [_HEAD]
    for title, commands in groups.items():
        lines += [f"**{title}**: " + " · ".join(f"[`{one.name}`](#{_anchor(one)})" for one in commands), ""]
    lines += ["## Building, and doit's own commands", "", _BUILD, *_table_of_lines(OF_DOIT), ""]
    lines += [*_options(RUN_OPTIONS, "option of `doit`"), "", *_list_fields("run", results, kinds)]
    for name in DOIT_RESULTS:
        does = next(does for line, does in OF_DOIT.items() if line.startswith(f"doit {name}"))
        lines += [f"### doit {name}", "", f"{does[:1].upper()}{does[1:]}.", "", *_list_fields(name, results, kinds)]
    for title, commands in groups.items():
        lines += [f"## {title}", ""]
        for one in commands:
            lines += [*_describe(one), *_list_fields(one.name, results, kinds)]
    lines += ["## The command `imagegen`", "", "`imagegen` and `python -m imagegen` are the same.", ""]
    lines += [*_table_of_lines(OF_IMAGEGEN), "", "## Answers", "", _ANSWERS]
    lines += [*table(("field", "what it is"), [(f"`{name}`", does) for name, does in ANSWER.items()]), ""]
    lines += [*table(("exit code", "meaning"), [(str(code), does) for code, does in EXIT_CODES.items()]), ""]
    lines += ["`doit schema --results` writes all of this as a JSON Schema. These are parts of results:", ""]
    parts = {name for kind in kinds.values() for name in re.findall(r"#/\$defs/(\w+)", repr(kind))}
    for name, kind in kinds.items():
        if name != "Problem" and name in parts:
            lines += [f"### {name}", "", kind.get("description", ""), "", *_fields(kind), ""]
    return "\n".join(lines).rstrip() + "\n"


def _describe(command: Command) -> Iterator[str]:
    given = [one for one in command.options if one["long"] != "json"]
    usage = " ".join(filter(None, ["doit", command.name, "[options]" if given else "", command.words]))
    yield from (f"### doit {command.name}", "", command.summary, "", f"Usage: `{usage}`", "")
    if given:
        yield from (*_options(given, "option"), "")
    if examples := [(line, does) for line, does in command.examples.items() if line != usage or does]:
        width = max(len(line) for line, _ in examples)
        yield from ("```", *(f"{line:<{width}}  # {does}".rstrip(" #") for line, does in examples), "```", "")


def _list_fields(name: str, results: Mapping[str, str], kinds: Mapping[str, Any]) -> list[str]:
    """Return the fields of a command's result."""
    if not (kind := results.get(name)):
        return []
    of = "a build" if name == "run" else f"`doit {name}`"
    return [f"The result of {of} with `--json`:", "", *_fields(kinds[kind]), ""]


def _fields(kind: Mapping[str, Any]) -> list[str]:
    rows = [(f"`{name}`", _type(one), one.get("description", "")) for name, one in kind["properties"].items()]
    return table(("field", "type", "what it is"), rows)


def _table_of_lines(lines: Mapping[str, str]) -> list[str]:
    return table(
        ("command", "what it does"), [(f"`{line}`".replace(" · ", "` · `"), does) for line, does in lines.items()]
    )


def _options(options: Iterable[Mapping[str, Any]], head: str) -> list[str]:
    rows = []
    for one in options:
        short = f"`-{one['short']}` · " if one["short"] else ""
        text = one["help"]
        if choices := [choice for choice, _ in one.get("choices", ())]:
            text += f"; one of {', '.join(f'`{choice}`' for choice in choices)}"
        if one["type"] is list:
            text += " (may be given several times)"
        if one["default"] not in (None, False, "", []) and "[default" not in text:
            text += f" [default: {one['default']}]"
        rows.append((f"{short}`{spell(one)}`", text))
    return table((head, "what it does"), rows)


def _read_results(schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name of each command with that of the kind of its result; it has none if that may be anything."""
    for one in schema["oneOf"]:
        fields = one["properties"]
        if "const" in fields.get("command", {}):
            named = [kind["$ref"].rpartition("/")[2] for kind in fields["result"]["anyOf"] if "$ref" in kind]
            yield fields["command"]["const"], "".join(named[:1])


def _type(kind: Mapping[str, Any]) -> str:
    if "$ref" in kind:
        name = kind["$ref"].rpartition("/")[2]
        return "problem" if name == "Problem" else f"[{name}](#{name.lower()})"
    if "enum" in kind:
        return ", ".join(f"`{one}`" for one in kind["enum"])
    if "anyOf" in kind:
        return " or ".join(map(_type, kind["anyOf"]))
    if kind.get("type") == "array":
        return f"list of {_type(kind['items'])}"
    if named := kind.get("properties"):
        return f"{_type(next(iter(named.values())))} for each of {', '.join(f'`{name}`' for name in named)}"
    if kind.get("type") == "object":
        return f"{_type(kind.get('additionalProperties', {}))}, by name"
    word = str(kind.get("type", "anything"))
    return {"string": "text", "integer": "whole number", "boolean": "true or false"}.get(word, word)


def _anchor(command: Command) -> str:
    return re.sub(r"[^\w\- ]", "", f"doit {command.name}").replace(" ", "-")
