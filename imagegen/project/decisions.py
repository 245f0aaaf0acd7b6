"""What was decided of each job; and, where branches were merged that decided about one image, which of it counts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from imagegen.errors import ImagegenError, Problem
from imagegen.plan.merged import counting
from imagegen.plan.output import Output
from imagegen.plan.record import Decision, OutputLine
from imagegen.state.hashes import Hashes
from imagegen.state.lockfile import LockFile

__all__ = ["Decisions"]


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

    def settle(self, job: str, outputs_with: Callable[[Decision], Collection[Output]]) -> None:
        """Of rivals the one counts whose image is in place. Raises ImagegenError.

        outputs_with: the job's outputs, planned with a decision.
        """
        lock = self._lock(job)

        def concerned(decision: Decision) -> list[Output]:
            outputs = (output for output in outputs_with(decision) if not output.is_derived)
            return [output for output in outputs if decision.output in (output.full_slug, output.base)]

        def shown(output: Output) -> tuple[str | None, OutputLine | None]:
            state = self._hashes.state(output.path)
            line = lock.line_of(output.path, state.sha256) if state else None
            return (state.sha256, line if line and line.sha256 == state.sha256 else None) if state else (None, None)

        for (kind, output), rivals in list(lock.rivals.items()):
            try:
                decision = counting(rivals, concerned, shown)
            except OSError as error:
                what = f"{error.filename} cannot be read: {error.strerror}"
                raise ImagegenError(Problem("", what, "mend its permissions")) from None
            self._counting[job, kind, output] = decision
            lock.settle(decision)

    def settle_again(self, job: str, lock: LockFile) -> None:
        """A lock file that was read anew: what was found to count does."""
        for kind, output in list(lock.rivals):
            if (known := self._counting.get((job, kind, output))) in lock.rivals[kind, output]:
                lock.settle(known)
