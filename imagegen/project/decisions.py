"""What was decided of each job; and, where branches were merged that decided about one image, which of it counts."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping

from imagegen.errors import ImagegenError, Problem
from imagegen.plan.output import Output
from imagegen.plan.record import ACCEPT, PICK, REROLL, SEED, Decision, OutputLine, choose_decision
from imagegen.state.hashes import Hashes
from imagegen.state.lockfile import LockFile

__all__ = ["Decisions"]

_DONE = {SEED: "drawn", REROLL: "rerolled", PICK: "picked", ACCEPT: "accepted"}


class Decisions:
    """lock: a job's lock file; raises ImagegenError. hashes: of the outputs' files."""

    def __init__(self, lock: Callable[[str], LockFile], hashes: Hashes) -> None:
        self._lock = lock
        self._hashes = hashes
        self._counting: dict[tuple[str, str, str], Decision] = {}
        """By job, kind and output, the rival that counts."""

    def of(self, job: str) -> Mapping[tuple[str, str], Decision]:
        """Those that count, by kind and output. Raises ImagegenError."""
        return self._lock(job).decisions

    def has_any(self, job: str, outputs: Collection[Output]) -> bool:
        """Whether the job's lock file records a file, a request or a decision of any of these. Raises ImagegenError."""
        lock = self._lock(job)
        names = {name for output in outputs for name in (output.full_slug, output.base)}
        made = {line.fingerprint for lines in lock.lines.values() for line in lines}
        is_recorded = any(output.path in lock.lines or output.fingerprint in made for output in outputs)
        return is_recorded or any(name in names for _, name in lock.decisions)

    def settle(self, job: str, planned: Callable[[Collection[Decision]], Iterable[Output]]) -> list[str]:
        """Of rivals the one counts whose image is in place. What to tell of that. Raises ImagegenError.

        planned: the job's outputs, by these decisions.
        """
        lock = self._lock(job)
        ranks = itertools.zip_longest(*lock.rivals.values())  # so that the job is planned two times, not for each rival
        named = [_by_name(planned([decision for decision in rank if decision])) for rank in ranks]

        def shown(output: Output) -> tuple[str | None, OutputLine | None]:
            state = self._hashes.state(output.path)
            line = lock.line_of(output.path, state.sha256) if state else None
            return (state.sha256, line if line and line.sha256 == state.sha256 else None) if state else (None, None)

        notes = []
        for (kind, output), rivals in list(lock.rivals.items()):
            try:
                decision = choose_decision(rivals, [by[output] for by, _ in zip(named, rivals, strict=False)], shown)
            except OSError as error:
                what = f"{error.filename} cannot be read: {error.strerror}"
                raise ImagegenError(Problem("", what, "fix its permissions")) from None
            self._counting[job, kind, output] = decision
            lock.settle(decision)
            notes.append(f"{output}: {_DONE[kind]} on both branches that were merged; that of {decision.time} counts")
        return notes

    def settle_again(self, job: str, lock: LockFile) -> None:
        """A lock file that was read anew: what was found to count does."""
        for kind, output in list(lock.rivals):
            if (known := self._counting.get((job, kind, output))) in lock.rivals[kind, output]:
                lock.settle(known)


def _by_name(outputs: Iterable[Output]) -> dict[str, list[Output]]:
    """The images by what a decision calls them: the full slug, and that of all variants."""
    found: dict[str, list[Output]] = defaultdict(list)
    for output in outputs:
        if not output.is_derived:
            for name in {output.full_slug, output.base}:
                found[name].append(output)
    return found
