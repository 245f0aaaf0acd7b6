"""The lock file of a job: for each output, what made it; and what a person or a random choice decided.

JSON Lines, meant to be committed. A line is only ever appended; compacting sorts them to one line per output. The
rule that reads them is `LockFile.line_of`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn

from imagegen.errors import InputError, Problem
from imagegen.plan.record import Decision, OutputLine, find_conflicting
from imagegen.state.hashes import NEVER, StatKey, is_conclusive, key_of, stat_key
from imagegen.state.journal import Journal
from imagegen.state.lock_line import ATTRIBUTES, dump_line, explain, is_usual, parse_line, peek

__all__ = ["ATTRIBUTES", "LockFile", "read_lock_file"]


class _Lines(Mapping[str, list[OutputLine]]):
    """An output's lines by its path, in the order of the file.

    One that is kept as bytes is parsed each time when it is asked for: a run that changes little asks about few.
    """

    def __init__(self, parse: Callable[[str, bytes], OutputLine]) -> None:
        self._parse = parse
        self._kept: dict[str, list[OutputLine | bytes]] = {}

    def __getitem__(self, path: str) -> list[OutputLine]:
        return [self._parse(path, line) if isinstance(line, bytes) else line for line in self._kept[path]]

    def __contains__(self, path: object) -> bool:
        return path in self._kept

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, line: OutputLine | bytes) -> None:
        """Add a line after the others of its output. bytes: one that is sound, and `is_usual`."""
        path = peek(line, "path") if isinstance(line, bytes) else line.path
        if lines := self._kept.get(path):
            lines.append(line)
        else:
            self._kept[path] = [line]  # takes less than what is appended to an empty list

    def as_kept(self) -> Collection[tuple[str, list[OutputLine | bytes]]]:
        """Return the lines of each output, with its path, as they are kept."""
        return self._kept.items()

    def replace(self, lines: Iterable[tuple[str, list[OutputLine | bytes]]]) -> None:
        """Keep these lines instead, by path."""
        self._kept = dict(lines)


@dataclass
class LockFile:
    """One job's lock file, as read, and kept in step with what is appended. Safe to share among threads."""

    name: str  # as shown to the user
    path: Path
    decisions: dict[tuple[str, str], Decision] = field(default_factory=dict)  # those that count
    needs_compaction: bool = False  # more than one line per output, not sorted, or a last line that was cut off
    truncated_at: int | None = None  # where a last line begins that a kill cut off; it does not count
    conflicts: dict[tuple[str, str], list[Decision]] = field(default_factory=dict)
    """Decisions about one thing from branches that were merged, the latest last, until `resolve`."""
    seen: StatKey | None = None  # when it was last read or written whole; None if there was no file

    def __post_init__(self) -> None:
        self._lines = _Lines(self._parse)
        self._journal: Journal[OutputLine | Decision | bytes] = Journal(self.path, parse_line, _dump)
        self._mutex = threading.Lock()

    @property
    def lines(self) -> Mapping[str, list[OutputLine]]:
        """Return the lines of each output by its path, in the order of the file."""
        return self._lines

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

    def sample(self, most: int) -> list[OutputLine]:
        """Return the lines of at most so many outputs, spread over the file."""
        with self._mutex:
            paths = list(self.lines)
            return [line for path in paths[:: -(-len(paths) // most) or 1] for line in self.lines[path]]

    def peek(self, name: Literal["fingerprint", "sha256"]) -> list[tuple[str, str]]:
        """Return this field of each line, and the line's path. No line is parsed for it."""
        with self._mutex:
            return [
                (peek(line, name) if isinstance(line, bytes) else getattr(line, name), path)
                for path, lines in self._lines.as_kept()
                for line in lines
            ]

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
                self._lines.add(entry)
            elif (key := (entry.kind, entry.output)) not in self.decisions or self.decisions[key].time <= entry.time:
                self.resolve(entry)

    def _check(self, entry: OutputLine | Decision) -> None:
        """Raise ImagegenError if the entry's line is not one that the reader takes."""
        try:
            parse_line(dump_line(entry))
        except (TypeError, ValueError, RecursionError) as error:
            reason = "it has half of a surrogate pair in it" if isinstance(error, UnicodeError) else str(error)
            what = f"its line was not written: it would make {self.name} unreadable: {reason}"
            made_by = f"the backend '{entry.backend}'" if isinstance(entry, OutputLine) else "imagegen"
            hint = f"report it to whoever wrote {made_by}; an image that was generated is in the store"
            raise InputError(Problem(f"{self.name}", what, hint)) from None

    def _parse(self, path: str, raw: bytes) -> OutputLine:
        """Parse a line that was known to be sound. Raises ImagegenError: it is not, after all."""
        try:
            line = parse_line(raw)
            if not isinstance(line, OutputLine) or line.path != path:
                raise ValueError("it says one thing twice")
        except (TypeError, ValueError) as error:
            raise InputError(Problem(self.name, *explain(raw, error))) from None
        return line

    def compact(self, sha256_of: Callable[[str], str | None], temporary: Path) -> None:
        """Rewrite the file sorted, with one line per output: the one that counts.

        Args:
            sha256_of: returns the sha256 of the file at an output's path, None if there is none. It is asked about
                outputs with several lines.
            temporary: a folder for the new file until it is whole.

        Raises:
            OSError: the file is as it was.

        """
        with self._mutex:
            kept: list[tuple[str, list[OutputLine | bytes]]] = []
            for path, lines in sorted(self._lines.as_kept()):
                counts = self.line_of(path, sha256_of(path)) if len(lines) > 1 else None
                kept.append((path, [counts] if counts else lines))
            self._write(kept, temporary)
            self._lines.replace(kept)

    def forget(self, paths: Iterable[str], temporary: Path) -> None:
        """Drop the lines of these outputs; decisions stay. A file with nothing left to say is removed."""
        dropped = set(paths)
        with self._mutex:
            self._lines.replace(pair for pair in self._lines.as_kept() if pair[0] not in dropped)
            self._write(sorted(self._lines.as_kept()), temporary)

    def _write(self, lines: Iterable[tuple[str, list[OutputLine | bytes]]], temporary: Path) -> None:
        entries: list[OutputLine | Decision | bytes] = []
        for key in sorted(self.decisions):
            entries += self.conflicts.get(key) or [self.decisions[key]]
        for _, of_output in lines:
            entries += of_output
        written = self._journal.compact(entries, temporary)
        self.seen = written and key_of(written)
        self.needs_compaction, self.truncated_at = False, None


def read_lock_file(name: str, path: Path, sound: StatKey | None = None) -> LockFile:
    """Read the lock file at `path`; an empty one if there is none.

    Args:
        name: as shown to the user.
        path: of the file.
        sound: the file's key when all its lines were found to be sound. If it is the same, a line is parsed when it is
            asked for.

    Raises:
        ImagegenError: located, for a file that has merge-conflict markers, is newer, or is not ours.

    """
    lock = LockFile(name, path)

    def refuse(number: int, line: bytes, error: Exception) -> NoReturn:
        raise InputError(Problem(f"{name}:{number}", *explain(line, error))) from None

    try:
        lock.seen = stat_key(path)
        is_sound = lock.seen is not None and lock.seen == sound
        journal: Journal[OutputLine | Decision | bytes] = Journal(path, _keep if is_sound else parse_line, _dump)
        content = journal.read(refuse)
        if is_sound and (content.missing_newline or stat_key(path) != sound):
            return read_lock_file(name, path)
    except OSError as error:
        raise InputError(Problem(name, f"cannot be read: {error.strerror}", "check its permissions")) from None
    decisions: dict[tuple[str, str], list[Decision]] = {}
    for entry in content.entries:
        if isinstance(entry, Decision):
            decisions.setdefault((entry.kind, entry.output), []).append(entry)
        else:
            lock._lines.add(entry)
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


def _keep(raw: bytes) -> OutputLine | Decision | bytes:
    """Return the line as it is if it is an output's, as `dump_line` writes it; else what it says."""
    return raw if is_usual(raw) else parse_line(raw)


def _dump(entry: OutputLine | Decision | bytes) -> bytes:
    return entry if isinstance(entry, bytes) else dump_line(entry)
