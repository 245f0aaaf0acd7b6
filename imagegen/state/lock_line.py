"""A line of a lock file: how it is written, read and checked. What is read can be written again."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from imagegen.config.job import Encoding
from imagegen.config.schema import FIELD_TYPES
from imagegen.plan.record import ACCEPT, MODEL, PICK, REROLL, SEED, Decision, OutputLine
from imagegen.state import json_line
from imagegen.state.json_line import DECODER, MAX_DEPTH, dump_fields, parse_fields

__all__ = ["ATTRIBUTES", "VERSION", "dump_line", "explain", "is_usual", "parse_line", "peek"]

ATTRIBUTES = "jobs/*.lock merge=union text eol=lf"
"""The line of .gitattributes by which git merges lock files. Lock files of other tools must not match it."""
VERSION = 1
"""Of the line format. Lines of a later version are refused, of an earlier one are read."""


def dump_line(entry: OutputLine | Decision) -> bytes:
    """Return the entry's line, without a newline."""
    fields: dict[str, Any]
    if isinstance(entry, Decision):
        fields = {"decision": entry.kind, "output": entry.output, "value": entry.value, "time": entry.time}
        fields |= {} if entry.after is None else {"after": entry.after}
    else:
        fields = {name: getattr(entry, name) for name in _OUTPUT_FIELDS}
        fields |= {"encoding": vars(entry.encoding), "request": dict(entry.request)}
    return dump_fields(fields, VERSION)


_OUTPUT_FIELDS = tuple(OutputLine.__dataclass_fields__)


def is_usual(raw: bytes) -> bool:
    """Return whether the line begins as that of an output, written by `dump_line`, whose path is in it as it is."""
    return raw.startswith(b'{"backend_version":"') and b"\\" not in raw[: raw.find(_MARKS["request"])]


def peek(raw: bytes, name: Literal["path", "fingerprint", "sha256"]) -> str:
    """Return a field of an output's line that `is_usual` without parsing it.

    Its fields are sorted: nothing before the path has these names, and sha256 stands after all that has fields.
    """
    mark = _MARKS[name]
    begin = (raw.rindex if name == "sha256" else raw.index)(mark) + len(mark)
    return raw[begin : raw.index(b'"', begin)].decode("utf-8")


def parse_line(raw: bytes) -> OutputLine | Decision:
    """Return what the line says. Raises ValueError, NewerVersionError among them, or TypeError."""
    return _parse_usual(raw) or _parse(raw)


def _parse_usual(raw: bytes) -> OutputLine | None:
    """Parse an output's line as `dump_line` writes it, twice as fast as any; None: it is not one, or is not sound.

    Whatever this takes, `_parse` takes, with the same result.
    """
    try:
        found = re.fullmatch(_USUAL, raw.decode("utf-8"))
        if found is None:
            return None
        version, kind, metadata, quality, fingerprint, digest, output, path, fields, seconds, sha256, size, time = (
            found.groups()
        )
        request, end = DECODER.raw_decode(fields)
    except (ValueError, RecursionError):
        return None
    if end != len(fields) or "\\u" in fields or fields.count("[") + fields.count("{") >= MAX_DEPTH:
        return None
    names = _share_names(tuple(request), tuple(map(type, request.values())))
    if names is None:
        return None
    request = dict(zip(names, request.values(), strict=True))
    encoding = _encoding(kind, int(quality), metadata)
    made = (sha256, int(size), digest, version, float(seconds), time)
    return OutputLine(path, output, fingerprint, encoding, request, *made)


def _parse(raw: bytes) -> OutputLine | Decision:
    fields = parse_fields(raw, VERSION)
    try:
        return _decision(fields) if "decision" in fields else _output_line(fields)
    except KeyError as error:
        raise ValueError(f"it has no {error}") from None


def _decision(fields: Mapping[str, Any]) -> Decision:
    after = fields.get("after")
    if after is not None and not (isinstance(after, list) and all(isinstance(time, str) for time in after)):
        raise ValueError(f"its 'after' is {_quoted(after)}")
    after = None if after is None else tuple(after)
    found = Decision(fields["decision"], fields["output"], fields["value"], fields["time"], after)
    if not all(isinstance(text, str) for text in (found.kind, found.output, found.time)):
        raise ValueError("its decision, output or time is not text")
    if not _CHECKS.get(found.kind, _any)(found.value):
        raise ValueError(f"its {found.kind} is {_quoted(found.value)}")
    return found


def _output_line(fields: Mapping[str, Any]) -> OutputLine:
    values = {name: fields[name] for name in _OUTPUT_FIELDS}
    encoding = values.pop("encoding")
    if not isinstance(encoding, dict) or {key: type(value) for key, value in encoding.items()} != _ENCODING:
        raise ValueError("its encoding is not one that this release knows")
    _check_types(values, _TYPES, "")
    _check_types(values["request"], _REQUEST_TYPES, "request.")
    for name in ("size", "seconds"):
        if not 0 <= values[name] < _LARGEST:
            raise ValueError(f"its '{name}' is {_quoted(values[name])}")
    for name in ("fingerprint", "sha256"):
        if not _HASH.fullmatch(values[name]):
            raise ValueError(f"its '{name}' is not a hash: {_quoted(values[name])}")
    if _NO_PATH.search(values["path"]):
        raise ValueError("its 'path' is not the path of a file")
    if _NO_SLUG.search(values["output"]):
        raise ValueError("its 'output' is not the name of one")
    return OutputLine(encoding=_encoding(**encoding), **values)


@functools.lru_cache(64)
def _encoding(format: Any, quality: int, metadata: Any) -> Encoding:  # noqa: A002 - as its fields are called
    """Return the same one for all lines that have it."""
    return Encoding(format, quality, metadata)


@functools.lru_cache(64)
def _share_names(names: tuple[str, ...], types: tuple[type, ...]) -> tuple[str, ...] | None:
    """Return the names of a request's fields, once for all requests that have the same; None if a type is wrong."""
    is_sound = all(kind in _REQUEST_TYPES.get(name, (kind,)) for name, kind in zip(names, types, strict=True))
    return names if is_sound else None


def _check_types(values: Mapping[str, Any], types: Mapping[str, tuple[type, ...]], above: str) -> None:
    for name in values.keys() & types:
        if type(values[name]) not in types[name]:
            raise ValueError(f"its '{above}{name}' is {_quoted(values[name])}")


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)[:40]


_MARKS = {name: f',"{name}":"'.encode() for name in ("path", "fingerprint", "sha256")} | {"request": b',"request":{'}
_TEXT = r'"([^"\\\x00-\x1f\x7f]*)"'
_CHARACTER = r'[^"\\/\x00-\x1f\x7f]'  # of a name
_USUAL = re.compile(
    rf'\{{"backend_version":{_TEXT},"encoding":\{{"format":{_TEXT},"metadata":{_TEXT},"quality":(0|[1-9]\d{{0,2}})\}}'
    rf',"fingerprint":"([0-9a-z]{{1,64}})","model_digest":(?:null|{_TEXT}),"output":"({_CHARACTER}*)"'
    rf',"path":"((?:{_CHARACTER}{{0,255}}/)*{_CHARACTER}{{0,254}}(?!\.){_CHARACTER})","request":(\{{.*\}}),"seconds":((?:0|[1-9]\d{{0,8}})\.\d{{1,9}})'
    rf',"sha256":"([0-9a-z]{{1,64}})","size":(0|[1-9]\d{{0,14}}),"time":{_TEXT},"v":{VERSION}\}}',
    re.ASCII,
)
"""The line of an output, its values in groups. What is odd in any way is left to the full check."""
_NO_PATH = re.compile(r"[\x00-\x1f\x7f]|(^|/)\.{0,2}$|[^/]{256}")
_NO_SLUG = re.compile(r"[\x00-\x1f\x7f/\\]")
"""Files are named after it, so it must not lead elsewhere."""
_HASH = re.compile(r"[0-9a-z]{1,64}")
"""So are those of the store."""
_LARGEST = 2**53


def _any(_: object) -> bool:
    return True  # a kind of a later release


def _is_seed(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**64


def _is_accepted(value: object) -> bool:
    known = value if isinstance(value, dict) else {}
    found = [known.get(key) for key in ("sha256", "fingerprint")]
    return all(isinstance(one, str) and _HASH.fullmatch(one) for one in found)


_CHECKS: dict[str, Callable[[object], bool]] = {
    SEED: _is_seed,
    REROLL: lambda value: value is None or _is_seed(value),
    MODEL: lambda value: isinstance(value, str),
    PICK: lambda value: type(value) is int and 0 <= value < 10_000,
    ACCEPT: lambda value: value is None or _is_accepted(value),
}
_ENCODING = {"format": str, "quality": int, "metadata": str}
_REQUEST_TYPES: dict[str, tuple[type, ...]] = {
    **FIELD_TYPES,
    **dict.fromkeys(("backend", "name", "prompt"), (str,)),
    "model": (str, type(None)),
    "seed": (int, type(None)),
}
_TYPES: dict[str, tuple[type, ...]] = {
    "path": (str,),
    "output": (str,),
    "fingerprint": (str,),
    "request": (dict,),
    "sha256": (str,),
    "size": (int,),
    "model_digest": (str, type(None)),
    "backend_version": (str,),
    "seconds": (int, float),
    "time": (str,),
}


def explain(raw: bytes, error: Exception) -> tuple[str, str]:
    """Return what is wrong with a line that cannot be read, and what to do."""
    return json_line.explain(raw, error, kind="a lock file", attributes=ATTRIBUTES, version=VERSION)
