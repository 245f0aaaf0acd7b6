"""The lock file of a job: for each output, what made it; and what a person or a random choice decided.

JSON Lines, meant to be committed. A line is only ever appended; compacting sorts them to one line per output. The
rule that reads them is `LockFile.line_of`.
"""

from __future__ import annotations

import codecs
import json
import math
import operator
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from imagegen.config.document import CONFLICT
from imagegen.config.job import Encoding
from imagegen.config.schema import FIELD_TYPES
from imagegen.errors import ImagegenError, Problem
from imagegen.plan.record import ACCEPT, MODEL, PICK, REROLL, SEED, Decision, OutputLine, find_conflicting
from imagegen.state.hashes import NEVER, StatKey, is_conclusive, key_of, stat_key
from imagegen.state.journal import Journal, NewerVersionError

__all__ = ["ATTRIBUTES", "VERSION", "LockFile", "read_lock_file"]

ATTRIBUTES = "jobs/*.lock merge=union text eol=lf"
"""The line of .gitattributes by which git merges lock files. Lock files of other tools must not match it."""
VERSION = 1
"""Of the line format. Lines of a later version are refused, of an earlier one are read."""


@dataclass
class LockFile:
    """One job's lock file, as read, and kept in step with what is appended. Safe to share among threads."""

    name: str  # as shown to the user
    path: Path
    lines: dict[str, list[OutputLine]]  # by the output's path, in the order of the file
    decisions: dict[tuple[str, str], Decision]  # those that count
    needs_compaction: bool = False  # more than one line per output, not sorted, or a last line that was cut off
    truncated_at: int | None = None  # where a last line begins that a kill cut off; it does not count
    conflicts: dict[tuple[str, str], list[Decision]] = field(default_factory=dict)
    """Decisions about one thing from branches that were merged, the latest last, until `resolve`."""
    seen: StatKey | None = None  # when it was last read or written whole; None if there was no file

    def __post_init__(self) -> None:
        self._journal = Journal(self.path, _parse, _dump)
        self._mutex = threading.Lock()

    def line_of(self, path: str, sha256: str | None) -> OutputLine | None:
        """Return the output's line whose sha256 is that of the file on disk, or else its newest line.

        Args:
            path: of the output, relative to the project.
            sha256: of the file there, None if there is none.

        """
        lines = self.lines.get(path)
        if not lines:
            return None
        for line in reversed(lines):
            if line.sha256 == sha256:
                return line
        return max(enumerate(lines), key=lambda pair: (pair[1].time, pair[0]))[1]

    def every_line(self) -> list[OutputLine]:
        """Return all lines of all outputs, as they are now: other threads may be appending."""
        with self._mutex:
            return [line for lines in self.lines.values() for line in lines]

    def owns(self, path: str, sha256: str) -> bool:
        """Return whether one of the output's lines says that this build wrote a file of this content there."""
        return any(line.sha256 == sha256 for line in self.lines.get(path, ()))

    def is_unchanged(self) -> bool:
        """Return whether nobody has written to the file since it was read. Raises OSError."""
        return self.seen == stat_key(self.path) and (self.seen is None or is_conclusive(self.seen))

    def resolve(self, decision: Decision) -> None:
        """Let this decision count; those that it conflicts with go when the file is compacted."""
        key = (decision.kind, decision.output)
        self.conflicts.pop(key, None)
        self.decisions[key] = decision

    def append(self, entry: OutputLine | Decision) -> None:
        """Add a line, on disk before this returns, and before it counts.

        Raises:
            ImagegenError: the line could not be read again; the file is as it was.
            OSError: the line could not be written.

        """
        self._check(entry)
        self.seen = NEVER
        self._journal.append(entry)
        with self._mutex:
            self.truncated_at = None
            self.needs_compaction = True
            if isinstance(entry, OutputLine):
                self.lines.setdefault(entry.path, []).append(entry)
            elif (key := (entry.kind, entry.output)) not in self.decisions or self.decisions[key].time <= entry.time:
                self.resolve(entry)

    def _check(self, entry: OutputLine | Decision) -> None:
        """Raise ImagegenError if the entry's line is not one that the reader takes."""
        try:
            _parse(_dump(entry))
        except (TypeError, ValueError, RecursionError) as error:
            reason = "it has half of a surrogate pair in it" if isinstance(error, UnicodeError) else str(error)
            what = f"its line was not written: it would make {self.name} unreadable: {reason}"
            made_by = f"the backend '{entry.backend}'" if isinstance(entry, OutputLine) else "imagegen"
            hint = f"report it to whoever wrote {made_by}; an image that was generated is in the store"
            raise ImagegenError(Problem(f"{self.name}", what, hint)) from None

    def compact(self, on_disk: Mapping[str, str | None], temporary: Path) -> None:
        """Rewrite the file sorted, with one line per output: the one that counts.

        Args:
            on_disk: sha256 of the file at each output's path; a path that is not in it counts as missing.
            temporary: a folder for the new file until it is whole.

        Raises:
            OSError: the file is as it was.

        """
        with self._mutex:
            kept = {path: line for path in self.lines if (line := self.line_of(path, on_disk.get(path)))}
            self._write(kept.values(), temporary)
            self.lines = {path: [line] for path, line in kept.items()}

    def forget(self, paths: Iterable[str], temporary: Path) -> None:
        """Drop the lines of these outputs; decisions stay. A file with nothing left to say is removed."""
        with self._mutex:
            for path in paths:
                self.lines.pop(path, None)
            self._write([line for lines in self.lines.values() for line in lines], temporary)

    def _write(self, lines: Iterable[OutputLine], temporary: Path) -> None:
        ordered: list[OutputLine | Decision] = []
        for key in sorted(self.decisions):
            ordered += self.conflicts.get(key) or [self.decisions[key]]
        ordered += sorted(lines, key=operator.attrgetter("path"))
        written = self._journal.compact(ordered, temporary)
        self.seen = written and key_of(written)
        self.needs_compaction, self.truncated_at = False, None


def read_lock_file(name: str, path: Path) -> LockFile:
    """Read the lock file at `path`; an empty one if there is none.

    Args:
        name: as shown to the user.
        path: of the file.

    Raises:
        ImagegenError: located, for a file that has merge-conflict markers, is newer, or is not ours.

    """
    lock = LockFile(name, path, {}, {})

    def refuse(number: int, line: bytes, error: Exception) -> NoReturn:
        raise ImagegenError(Problem(f"{name}:{number}", *_explain(line, error))) from None

    try:
        lock.seen = stat_key(path)
        content = lock._journal.read(refuse)
    except OSError as error:
        raise ImagegenError(Problem(name, f"cannot be read: {error.strerror}", "check its permissions")) from None
    decisions: dict[tuple[str, str], list[Decision]] = {}
    for entry in content.entries:
        if isinstance(entry, OutputLine):
            lock.lines.setdefault(entry.path, []).append(entry)
        else:
            decisions.setdefault((entry.kind, entry.output), []).append(entry)
    for key, taken in decisions.items():
        heads = find_conflicting(taken)
        lock.decisions[key] = heads[-1]
        if len(heads) > 1:
            lock.conflicts[key] = heads
    lock.truncated_at = content.truncated_at
    is_one_each = len(content.entries) == len(lock.lines) + len(lock.decisions)
    is_whole = content.truncated_at is None and not content.missing_newline
    lock.needs_compaction = not (is_whole and is_one_each and list(lock.lines) == sorted(lock.lines))
    return lock


def _dump(entry: OutputLine | Decision) -> bytes:
    fields: dict[str, Any] = {"v": VERSION}
    if isinstance(entry, Decision):
        fields |= {"decision": entry.kind, "output": entry.output, "value": entry.value, "time": entry.time}
        fields |= {} if entry.after is None else {"after": entry.after}
    else:
        fields |= {name: getattr(entry, name) for name in _OUTPUT_FIELDS}
        fields["encoding"] = vars(entry.encoding)
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


_OUTPUT_FIELDS = tuple(OutputLine.__dataclass_fields__)


def _parse(raw: bytes) -> OutputLine | Decision:
    try:
        fields = _DECODER.decode(raw.removeprefix(codecs.BOM_UTF8).decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if raw.count(b"[") + raw.count(b"{") > _MAX_DEPTH and _is_deeper(fields, _MAX_DEPTH):
        raise ValueError("it is nested too deeply")
    if _HALF_PAIR.search(raw) and _has_half_pair(fields):
        raise ValueError("it has half of a surrogate pair in it")
    if not isinstance(fields, dict):
        raise ValueError("it is not a JSON object")
    version = fields.pop("v", None)
    if type(version) is not int or version < 1:
        raise ValueError("it has no version 'v'")
    if version > VERSION:
        raise NewerVersionError(version)
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
    return OutputLine(encoding=Encoding(**encoding), **values)


def _check_types(values: Mapping[str, Any], types: Mapping[str, tuple[type, ...]], above: str) -> None:
    for name in values.keys() & types:
        if type(values[name]) not in types[name]:
            raise ValueError(f"its '{above}{name}' is {_quoted(values[name])}")


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)[:40]


def _number(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"it has the number {digits[:20]}, which is too large")
    return number


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"it has {word}, which is not a number in JSON")


def _is_deeper(value: object, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deeper(one, levels - 1) for one in inner)


def _has_half_pair(fields: object) -> bool:
    try:
        json.dumps(fields, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


_DECODER = json.JSONDecoder(parse_constant=_no_number, parse_float=_number)
_MAX_DEPTH = 100
"""Levels: a workflow in a request has at most 32. What is read must be writable again."""
_HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")
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


def _explain(raw: bytes, error: Exception) -> tuple[str, str]:
    if isinstance(error, NewerVersionError):
        return (
            f"written by a newer imagegen (line format {error.version}, this one reads up to {VERSION})",
            "upgrade imagegen here: docs/your-repository.md says how",
        )
    if raw.startswith((b"<<<<<<<", b"=======", b">>>>>>>", b"|||||||")):
        return (
            CONFLICT,
            "delete the marker lines and keep the lines of both sides; "
            f"'{ATTRIBUTES}' in .gitattributes keeps this from happening",
        )
    reason = "it is not valid JSON" if isinstance(error, json.JSONDecodeError) else str(error)
    if isinstance(error, UnicodeDecodeError):
        reason = "it is not UTF-8"
    return (f"not a line of a lock file: {reason}", "restore the file from git, or delete this line")
