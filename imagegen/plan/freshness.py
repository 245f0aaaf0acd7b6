"""Whether an output is what its request asks for; if not, why; and whether it may be replaced.

The request, its line in the lock file and the file on disk give a verdict. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from typing import Any, Literal

from imagegen.plan.output import DERIVE, STEPS_FIELD, Output
from imagegen.plan.record import OutputLine, recorded_fields
from imagegen.plan.request import Request

__all__ = [
    "CHANGED",
    "IN_CONFLICT",
    "NOT_REPLACED",
    "FileOnDisk",
    "Reason",
    "Verdict",
    "compare",
    "compare_requests",
    "conflict_hint",
    "keep_hint",
]

PLACEHOLDER = "placeholder"
"""The backend whose labelled placeholders never replace an image of another backend."""
NOT_REPLACED = f"{PLACEHOLDER} does not replace it"
IN_CONFLICT = "a merge left it in conflict, with both sides' Git LFS pointers or lines in it"
ReasonKind = Literal[
    "missing",  # there is no file
    "new",  # no line of the lock file is about it
    "changed",  # a field of the request
    "encoding",
    "model",  # the model's files have changed
    "forced",
    "origin",  # an output that it is made from has changed; old or new is None if it was added or left out
    "follows",  # such an output is yet to be made, so nobody knows
    "recorded_elsewhere",  # the file is fine, but the lock file records another image; new says how
]
"""Why an output is stale."""
_NEVER = "take output.overwrite: never out of the job, or move the file away"
CHANGED = "changed since it was generated, by hand or by git"


@dataclass(frozen=True)
class FileOnDisk:
    """What is at the output's path, and whether this build wrote it."""

    sha256: str | None  # of the file; None: nothing is there; empty: a folder is
    ours: bool = False
    """Its sha256 is in one of the output's lines, or of those of the store that a build made."""
    accepted: bool = False
    """A person decided that it is the image of the present request. Without a file: what was accepted is gone."""
    by_hand: bool = False
    """It was accepted, for this request or an earlier one, and no line says that it was made here."""
    is_recorded: bool = False
    """This checkout wrote it for the image of the line, though in other bytes."""
    recorded_elsewhere: Literal["", "accepted", "recorded"] = ""
    """This checkout wrote it, but the lock file, as git brought it, records another image; how that came about."""
    in_conflict: bool = False
    """A merge left both sides in it: Git LFS pointers, or a sheet's index."""


@dataclass(frozen=True)
class Reason:
    """One reason for staleness; of a field, with its old and new value."""

    kind: ReasonKind
    field: str = ""
    old: Any = None
    new: Any = None

    def __str__(self) -> str:
        """Return the reason in a few words."""
        if self.kind == "changed" and self.field in ("prompt", "negative"):
            return f"{'negative prompt' if self.field == 'negative' else 'prompt'} changed"
        if self.kind in ("changed", "encoding"):
            nothing = "random" if self.field == "seed" else "none"
            if isinstance(self.old, list) or isinstance(self.new, list):
                return f"{self.field} changed"
            return f"{self.field} {_shorten(self.old, nothing)} → {_shorten(self.new, nothing)}"
        if self.kind == "origin":
            return f"{self.field} {'added' if self.old is None else 'left out' if self.new is None else 'changed'}"
        if self.kind == "follows":
            return f"may change with {self.field}"
        return {
            "missing": "missing",
            "new": "new",
            "model": "the model's files changed",
            "forced": "forced",
            "recorded_elsewhere": "another one was accepted" if self.new == "accepted" else "another one is recorded",
        }[self.kind]


@dataclass(frozen=True, slots=True)
class Verdict:
    """state: fresh, stale, kept (left as it is, though not what was asked for) or blocked (must not be replaced).

    reasons: why it is stale. note: why it is kept or blocked. line: the recorded line that counts, if any.
    hint: the way out of what is blocked or kept, where it is not the usual one.
    """

    state: Literal["fresh", "stale", "kept", "blocked"]
    reasons: tuple[Reason, ...] = ()
    note: str = ""
    line: OutputLine | None = None
    hint: str = ""

    @property
    def is_missing(self) -> bool:
        """Whether there was a file, and none is there now."""
        return any(reason.kind == "missing" for reason in self.reasons)

    @property
    def is_recorded_elsewhere(self) -> bool:
        """Whether nothing is wrong with the file except that the lock file records another one."""
        return any(reason.kind == "recorded_elsewhere" for reason in self.reasons)

    @property
    def only_encoding(self) -> bool:
        """Whether the pixels are right and only the file must be written again."""
        return bool(self.reasons) and all(reason.kind == "encoding" for reason in self.reasons)


def compare(
    output: Output, line: OutputLine | None, found: FileOnDisk, model_digest: str | None, forced: bool = False
) -> Verdict:
    """Return the verdict on one output.

    Args:
        output: as planned.
        line: the one of its lines in the lock file that counts.
        found: what is on disk.
        model_digest: of the model that would generate it; None if unknown.
        forced: whether it was named to `doit -a`.
    """
    reasons = _find_reasons(output, line, model_digest)
    if found.sha256 is None and found.accepted and not forced:
        note = "the image that was accepted is neither there nor in the store"
        hint = f"bring the file back, from git or a copy; or generate another one: doit -a {output.task}"
        return Verdict("blocked", (Reason("missing"), *reasons), note, line, hint)
    if found.sha256 is None:
        return Verdict("stale", (Reason("missing"), *reasons), line=line) if line else _NEW_IMAGE
    if not found.sha256:
        return Verdict("blocked", reasons, "a folder is in its place", line, "move the folder away")
    if found.in_conflict:
        return Verdict("blocked", reasons, IN_CONFLICT, line, conflict_hint(output.path))
    if found.by_hand and (forced or not found.accepted) and output.request.backend == PLACEHOLDER:
        note = f"made or changed by hand, and {PLACEHOLDER} never replaces such an image"
        hint = f"use another backend; or go back to a generated image: doit restore {output.task}"
        return Verdict("kept", reasons, note, line, hint)
    if found.accepted and not forced:
        return Verdict("fresh", note=_accepted_note(found, line, reasons), line=line)
    if line and (reasons or forced) and output.request.backend == PLACEHOLDER != line.backend:
        note = f"made by {line.backend}, and {NOT_REPLACED}: doit backend={line.backend} updates it"
        return Verdict("kept", reasons, note, line)
    if found.recorded_elsewhere and not forced:
        return _judge_ours(output, reasons or (Reason("recorded_elsewhere", new=found.recorded_elsewhere),), line)
    if line and (line.sha256 == found.sha256 or found.is_recorded):
        return _judge_ours(output, reasons or _forced(forced), line)
    if line and not reasons and not forced:
        return Verdict("kept", (), CHANGED, line, keep_hint(output.task))
    if found.ours and line is None and output.request.backend == PLACEHOLDER:
        return Verdict("blocked", reasons, "no line of the lock file says whether another backend made it")
    if found.ours:
        return _judge_ours(output, reasons or _forced(forced), line)
    if output.overwrite == "always":
        return Verdict("stale", reasons or _forced(forced), line=line)
    note = CHANGED if line else "imagegen did not write this file"
    if output.overwrite == "never":
        return Verdict("kept", reasons, f"{note}; output.overwrite is never", line, _NEVER)
    return Verdict("blocked", reasons, note, line)


def keep_hint(task: str) -> str:
    """Return what to do about an image that somebody changed; an accepted file is in the store, so nothing is lost."""
    return f"to keep it: doit accept {task}; to go back to the generated image: then doit restore {task}"


def conflict_hint(path: str) -> str:
    """Return what to do about a merge conflict in a file."""
    return f"choose a side: git checkout --ours -- {path} (or --theirs), then git add {path}"


def _judge_ours(output: Output, reasons: tuple[Reason, ...], line: OutputLine | None) -> Verdict:
    if not reasons:
        return Verdict("fresh", line=line)
    if output.overwrite == "never":
        return Verdict("kept", reasons, "output.overwrite is never", line, _NEVER)
    return Verdict("stale", reasons, line=line)


def _accepted_note(found: FileOnDisk, line: OutputLine | None, reasons: tuple[Reason, ...]) -> str:
    if found.by_hand:
        return f"accepted: {CHANGED if line else 'it was there before'}"
    return f"accepted as it is: {', '.join(map(str, reasons))}" if reasons else ""


def _forced(forced: bool) -> tuple[Reason, ...]:
    return (Reason("forced"),) if forced else ()


def _find_reasons(output: Output, line: OutputLine | None, model_digest: str | None) -> tuple[Reason, ...]:
    if line is None:
        return _NEW
    reasons = []
    if line.fingerprint != output.fingerprint:
        found = compare_requests(line.request, output.fields) or [Reason("changed", "request")]
        reasons += _name_origins(found, output) if output.origins else found
    if line.encoding != output.encoding and not output.is_derived:  # of a derived one it is in the request
        old, new = asdict(line.encoding), asdict(output.encoding)
        reasons += [Reason("encoding", key, old[key], new[key]) for key in new if old[key] != new[key]]
    if model_digest and line.model_digest and model_digest != line.model_digest:
        reasons.append(Reason("model", "model_digest", line.model_digest, model_digest))
    return tuple(reasons)


_NEW = (Reason("new"),)
_NEW_IMAGE = Verdict("stale", _NEW)
"""One for all: a first build has 100,000 of them."""


def _name_origins(reasons: list[Reason], output: Output) -> list[Reason]:
    """Say of the reasons that are about origins which ones they are."""
    origins = {f"images.{origin.key}": origin for origin in output.origins}
    named: list[Reason] = []
    for reason in reasons:
        if origin := origins.get(reason.field):
            follows = Reason("follows", origin.name)
            # as long as what the lock file has of the old one, so that the two can be compared
            new = reason.new and origin.sha256[: len(reason.old or origin.sha256)]
            named.append(Reason("origin", origin.name, reason.old, new) if origin.sha256 else follows)
        elif output.is_derived and reason.field.startswith("images."):
            named.append(Reason("origin", f"{output.job}:{reason.field.removeprefix('images.')}", reason.old))
        else:
            named.append(reason)
    if any(reason.kind == "origin" and None in (reason.old, reason.new) for reason in named):
        named = [reason for reason in named if reason.field != "order"]  # which says no more than these
    return named


def compare_requests(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Reason]:
    """Compare two requests field by field, in their order.

    Of two backends, a field that only one uses is no change, unless the picture owed something to it that is gone.
    """
    old, new = recorded_fields(old), recorded_fields(new)
    if old.get("backend") != new.get("backend") != DERIVE:
        compared = old.keys() & (new.keys() | _SHAPING)
        old, new = ({key: fields[key] for key in compared & fields.keys()} for fields in (old, new))
    return _find_differences(old, new)


def _find_differences(old: Mapping[str, Any], new: Mapping[str, Any], above: str = "") -> list[Reason]:
    """Compare mappings key by key. Of a request's own fields an empty text is the same as none."""
    reasons: list[Reason] = []
    for key in sorted({*old, *new}, key=lambda key: (_ORDER.get(key, len(_ORDER)), key)):
        one, other = old.get(key), new.get(key)
        is_empty = not above and one in ("", None) and other in ("", None)
        if key == STEPS_FIELD and not above:
            key, one, other = _compare_steps(one or [], other or [])
        if all(value is None or isinstance(value, Mapping) for value in (one, other)) and one != other:
            reasons += _find_differences(one or {}, other or {}, f"{above}{key}.")
        elif one != other and not is_empty:
            reasons.append(Reason("changed", above + key, one, other))
    return reasons


def _compare_steps(old: Sequence[Any], new: Sequence[Any]) -> tuple[str, Any, Any]:
    """Return a derived file's steps so that they can be compared: their parameters if they are the same, else names."""
    before, after = ([name for name, _ in steps] for steps in (old, new))
    if before == after:
        numbered = [{f"{name} ({at})": one for at, (name, one) in enumerate(steps, 1)} for steps in (old, new)]
        return "steps", numbered[0], numbered[1]
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))
    before, after = before[same:], after[same:]
    while before and after and before[-1] == after[-1]:
        del before[-1], after[-1]
    return f"steps ({same + 1})", ", ".join(before), ", ".join(after)


_SHAPING = frozenset({"images", "loras", "strength"})
"""Options of several backends that shape a picture, each in its own section."""
_ORDER = {name: number for number, name in enumerate(Request.__dataclass_fields__)}


def _shorten(value: object, nothing: str) -> str:
    text = nothing if value in ("", None) else str(value)
    return text if len(text) <= 24 else f"{text[:21]}…"
