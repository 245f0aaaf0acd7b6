"""A project: its settings, its job files as planned outputs, and how each output stands to what is on disk."""

from __future__ import annotations

import contextlib
import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagegen.backends.base import Backend
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, InputError, Problem
from imagegen.plan.freshness import PLACEHOLDER, FileOnDisk, Verdict, compare
from imagegen.plan.output import PREVIEW, Output
from imagegen.plan.record import ACCEPT, MODEL_DECISION, PICK, REROLL, SEED, Decision, OutputLine, choose_decision
from imagegen.project.backends import Backends
from imagegen.project.inputs import Inputs
from imagegen.project.job_plan import JobPlan
from imagegen.project.planner import Planner
from imagegen.state.attempts import Attempts
from imagegen.state.hashes import EMPTY, NEVER, Hashes, StatKey, stat_key
from imagegen.state.lockfile import LockFile, read_lock_file
from imagegen.state.store import Store
from imagegen.state.upload_queue import UploadQueue
from imagegen.state.written_files import BY_HAND, WrittenFile, WrittenFiles

if TYPE_CHECKING:
    from imagegen.project.git import CommittedFiles

__all__ = ["Project"]

_SAMPLE = 1000
_DECIDED = {SEED: "chosen", REROLL: "rerolled", PICK: "picked", ACCEPT: "accepted"}


@dataclass
class Project:
    """One project on disk.

    root: its folder, absolute. registry: the backends that a job can name. reserved: names that no job may have.
    """

    root: Path
    settings: Settings
    registry: Mapping[str, Callable[[], Backend]]
    reserved: Collection[str] = ()
    locks: dict[str, LockFile] = field(default_factory=dict)
    sound_locks: Mapping[str, StatKey | None] = field(default_factory=dict)
    """By name, lock files as they were when all their lines were found to be sound: see `read_lock_file`."""

    def __post_init__(self) -> None:
        self.state = self.root / ".imagegen"
        self.temporary = self.state / "tmp"
        self.store = Store(self.state / "store", self.temporary)
        self.attempts = Attempts(self.state / "attempts.jsonl", self.temporary)
        self.upload_queue = UploadQueue(self.state / "pending.txt", self.temporary, self.settings.store)
        self.written_files = WrittenFiles(self.root, self.state / "placed.txt", self.temporary)
        self.hashes = Hashes(self.root, self.state / "cache" / "hashes.json")
        self.failures = self.state / "cache" / "failures.json"
        """The file of what failed when it was last tried: see `state.attempts`."""
        self._committed: CommittedFiles | None = None
        self.inputs = Inputs(self.root, self.settings.allow_outside)
        self.backends = Backends(self.registry, self.settings.cluster)
        self.files: dict[str, Path] = {}
        """The reference images that jobs name, by their sha256."""
        self._chosen: dict[tuple[str, str, str], Decision] = {}
        """Of conflicting decisions, by job, kind and output, the one that counts."""
        self._models: dict[tuple[str, str, int], tuple[object, str | None]] | None = None
        """Meanwhile, of each model: by backend, name and section (its identity), the section and the digest."""
        self.planner = Planner(self)

    def plans(self, instead: Mapping[str, Collection[Decision]] | None = None) -> list[JobPlan]:
        """Plan all jobs: see `Planner.plans`."""
        return self.planner.plans(instead)

    def lock(self, job: str) -> LockFile:
        """Return the job's lock file, which is read once. Raises ImagegenError if it cannot be understood."""
        if job not in self.locks:
            name = f"{'.imagegen' if job.startswith(f'{PREVIEW}/') else 'jobs'}/{job}.lock"
            hint = "restore the file from git, or delete it"
            if problem := self.inputs.why_unreadable(name):
                raise InputError(Problem(name, problem, hint))
            lock = read_lock_file(name, self.root / name, self.sound_locks.get(name))
            for folder in dict.fromkeys(path.rpartition("/")[0] for path in lock.lines):
                # what it names is read, and may be removed
                if problem := self.inputs.why_unreadable(folder or "."):
                    raise InputError(Problem(name, f"has the line of an output in {problem}", hint))
            for kind, output in list(lock.conflicts):
                if (known := self._chosen.get((job, kind, output))) in lock.conflicts[kind, output]:
                    lock.resolve(known)
            self.locks[job] = lock
        return self.locks[job]

    def choose_decisions(self, job: str, plan: Callable[[Collection[Decision]], Iterable[Output]]) -> list[str]:
        """Choose between the decisions of merged branches about one image: the one whose image is in place counts.

        Args:
            plan: plans the job's outputs with these decisions.

        Returns:
            What to report of it.

        Raises:
            ImagegenError: the lock file or an output cannot be read.
        """
        lock = self.lock(job)
        ranks = itertools.zip_longest(*lock.conflicts.values())  # so the job is planned twice, not for each decision
        named = [_by_name(plan([decision for decision in rank if decision])) for rank in ranks]

        def look_up(output: Output) -> tuple[str | None, OutputLine | None]:
            state = self.hashes.state(output.path)
            line = lock.line_of(output.path, state.sha256) if state else None
            return (state.sha256, line if line and line.sha256 == state.sha256 else None) if state else (None, None)

        notes = []
        for (kind, output), rivals in list(lock.conflicts.items()):
            try:
                decision = choose_decision(rivals, [by[output] for by, _ in zip(named, rivals, strict=False)], look_up)
            except OSError as error:
                what = f"{error.filename} cannot be read: {error.strerror}"
                raise ImagegenError(Problem("", what, "fix its permissions")) from None
            self._chosen[job, kind, output] = decision
            lock.resolve(decision)
            notes.append(f"{output}: {_DECIDED[kind]} on both merged branches; the decision of {decision.time} counts")
        return notes

    def reference_files(self, output: Output) -> dict[str, Path]:
        """Return the files of an output's reference images, and others, by their sha256."""
        return self.files | {one.sha256: self.root / one.path for one in output.origins if one.sha256}

    def sample_lines(self) -> Iterator[OutputLine]:
        """Yield the lines of each lock file that was read so far; of a large one, as many as stand for all."""
        return (line for lock in self.locks.values() for line in lock.sample(_SAMPLE))

    def read_all_locks(self) -> None:
        """Read all lock files, also of jobs that are gone or were renamed. One that cannot be understood is skipped."""
        for file in sorted((self.root / "jobs").glob("*.lock")):
            with contextlib.suppress(ImagegenError):
                self.lock(file.stem)

    def committed(self, path: str, sha256: str) -> bytes | None:
        """Return the content of that hash if git has it for the file at the path.

        Raises ImagegenError if git has it, but not here.
        """
        if self._committed is None:
            from imagegen.project.git import CommittedFiles  # only for what is nowhere else

            self._committed = CommittedFiles(self.root)
        return self._committed.read(path, sha256)

    def has_accepted(self, output: Output) -> bool:
        """Whether a file was accepted for the output's present request, and is in the store or in git."""
        sha256 = self.accepted(output)
        if sha256 is None:
            return False
        if self.store.peek(sha256) is not None:
            return True
        with contextlib.suppress(ImagegenError):
            return self.committed(output.path, sha256) is not None
        return False

    def reload_from_disk(self) -> bool:
        """Read the lock files again, because another build may have written. Return whether any decision changed."""
        before = {job: lock for job, lock in self.locks.items() if not lock.is_unchanged()}
        for job, lock in before.items():
            self.inputs.stats[lock.name] = NEVER  # what is judged already was so without what they say now
            del self.locks[job]
        self.store.forget()
        self.written_files.forget()
        changed = [job for job, lock in before.items() if self.lock(job).decisions != lock.decisions]
        return bool(changed)

    @property
    def shares(self) -> bool:
        """Whether images generated here are uploaded to a shared store."""
        return bool(self.settings.store and self.settings.store_writes)

    @property
    def has_uploads_due(self) -> bool:
        """Whether something has to be uploaded, and the next run should try, whatever else it does."""
        return self.shares and self.upload_queue.is_due

    def with_decisions(self, output: Output) -> Output:
        """Return the output with the seed and the model that were decided since it was planned."""
        decisions = self.lock(output.job).decisions
        if (seed := decisions.get((SEED, output.full_slug))) and output.has_random_seed:
            output = output.with_decisions(seed=seed.value)
        if (reroll := decisions.get((REROLL, output.full_slug))) and not output.has_own_seed:
            output = output.with_decisions(seed=reroll.value)
        if (model := decisions.get(MODEL_DECISION)) and output.has_open_model:
            output = output.with_decisions(model=model.value)
        return output

    def with_origins(self, output: Output, unfinished: Collection[str] = ()) -> Output:
        """Return the output with its origins as their files are now. An origin that is missing has no sha256.

        unfinished: tasks of origins that are not built yet. Raises OSError if one cannot be read.
        """
        if not output.origins:
            return output
        states = [
            self.hashes.state(origin.path) if origin.task not in unfinished else None for origin in output.origins
        ]
        shas = [state.sha256 if state else "" for state in states]
        if shas == [origin.sha256 for origin in output.origins]:
            return output
        pairs = zip(output.origins, shas, strict=True)
        return output.with_decisions(origins=[replace(origin, sha256=sha256) for origin, sha256 in pairs])

    def found(self, output: Output) -> FileOnDisk:
        """Find out what is at the output's path, and whether this build wrote it. Raises OSError."""
        state = self.hashes.state(output.path)
        if state is None or state == EMPTY:  # a write that was cut off, and nobody's work
            return FileOnDisk(None, accepted=self.accepted(output) is not None and not self.has_accepted(output))
        if state.in_conflict:
            return FileOnDisk(state.sha256, in_conflict=True)
        lock = self.lock(output.job)
        owned = lock.owns(output.path, state.sha256)
        decision = lock.decisions.get((ACCEPT, output.full_slug))
        if decision is not None and decision.value is not None and decision.value["sha256"] == state.sha256:
            accepted = decision.value["fingerprint"] == output.fingerprint
            return FileOnDisk(state.sha256, ours=True, accepted=accepted, by_hand=not owned)
        if self.accepted(output) is None and (owned or output.path not in lock.lines):
            return FileOnDisk(state.sha256, owned or self.store.is_ours(state.sha256))
        return self._classify_unrecorded_file(output, state.sha256, owned or self.store.is_ours(state.sha256))

    def _classify_unrecorded_file(self, output: Output, sha256: str, ours: bool) -> FileOnDisk:
        """Classify a file that the lock file does not record. ours: as far as the lock file and the store know."""
        written = self.written_file(output.path, sha256)
        is_placeholder = output.request.backend == PLACEHOLDER
        if written is None or (is_placeholder and written.backend != PLACEHOLDER):
            return FileOnDisk(sha256, ours)
        if self.accepted(output):
            return FileOnDisk(sha256, ours=True, recorded_elsewhere="accepted")
        lock = self.lock(output.job)
        line = lock.line_of(output.path, sha256)
        if written.backend == BY_HAND:  # unless the lock file says so, nobody gave up what somebody made
            decision = lock.decisions.get((ACCEPT, output.full_slug))
            is_given_up = decision is not None and decision.value is None
            return FileOnDisk(sha256, ours or is_given_up, recorded_elsewhere="recorded" if is_given_up else "")
        if line and written.fingerprint == line.fingerprint and (output.is_derived or written.time == line.time):
            return FileOnDisk(sha256, ours=True, is_recorded=True)
        return FileOnDisk(sha256, ours=True, recorded_elsewhere="recorded")

    def written_file(self, path: str, sha256: str) -> WrittenFile | None:
        """Return how this checkout wrote the file of this sha256 at the path; None if it did not."""
        last = self.written_files.last(path)
        if last is None or last.sha256 != sha256:
            return None
        key = stat_key(self.root / path)
        return last if key and key[1] == last.mtime_ns else None

    def is_as_requested(self, output: Output) -> bool:
        """Whether the output's file was written for its present request. Raises OSError."""
        state = self.hashes.state(output.path)
        written = self.written_file(output.path, state.sha256) if state else None
        return written is not None and written.fingerprint == output.fingerprint

    def record_fresh_files(self, outputs: Iterable[Output]) -> None:
        """Note the files of these fresh outputs that are not noted as written yet: git may have brought them.

        Raises OSError: it could not be written.
        """
        found = {}
        for output in outputs:
            key = self.hashes.first_key(output.path)
            if key in (None, NEVER) or self.written_files.is_recorded(output.path, key[1]):
                continue
            state = self.hashes.first_state(output.path)
            line = self.lock(output.job).line_of(output.path, state.sha256) if state else None
            if state and line and line.sha256 == state.sha256 and not state.is_pointer:
                found[output.path] = WrittenFile(state.sha256, key[1], line.fingerprint, line.time, line.backend)
        if found:
            self.written_files.record(found)

    def check_freshness(
        self, output: Output, unfinished: Collection[str], *, forced: bool = False
    ) -> tuple[Output, Verdict]:
        """Return the output with its origins as they are now, and its verdict. unfinished: as for `with_origins`.

        Raises ImagegenError if it or an origin cannot be read.
        """
        try:
            output = self.with_origins(output, unfinished)
            return output, self.verdict(output, forced=forced)
        except OSError as error:
            what = f"{error.filename or output.path} cannot be read: {error.strerror}"
            raise ImagegenError(Problem("", what, "fix its permissions")) from None

    def verdict(self, output: Output, *, forced: bool = False, found: FileOnDisk | None = None) -> Verdict:
        """Compare the output with its file and its line. found: of `found`, if that was called already.

        Raises OSError if the file cannot be read.
        """
        found = found or self.found(output)
        line = self.lock(output.job).line_of(output.path, found.sha256)
        verdict = compare(output, line, found, self.model_digest(output), forced)
        if verdict.state == "blocked" and line is None and found.sha256 and (other := self._recorded_by(output, found)):
            note = f"jobs/{other}.lock records it, as an image of the job '{other}'"
            hint = (
                f"if '{output.base}' was moved from there, move its lines to jobs/{output.job}.lock too; "
                f"to keep the file as it is: doit accept {output.task}"
            )
            return replace(verdict, note=note, hint=hint)
        return verdict

    def _recorded_by(self, output: Output, found: FileOnDisk) -> str | None:
        """Return the other job whose lock file records the output's file."""
        self.read_all_locks()
        sha256 = found.sha256 or ""
        for job, lock in self.locks.items():
            accepted = (one.value for (kind, _), one in lock.decisions.items() if kind == ACCEPT and one.value)
            if job != output.job and (lock.owns(output.path, sha256) or any(v["sha256"] == sha256 for v in accepted)):
                return job
        return None

    @contextlib.contextmanager
    def asking_for_models_once(self) -> Iterator[None]:
        """Look at each model once meanwhile: thousands of outputs are checked, and have few."""
        self._models = {}
        try:
            yield
        finally:
            self._models = None

    def model_digest(self, output: Output) -> str | None:
        """Return the digest of the output's model if it is known locally and cheaply. Raises ImagegenError."""
        request = output.request
        if output.is_derived or self.backends.is_remote(request.backend):  # it is not here
            return None
        if self._models is None:
            return self._find_digest(output)
        key = request.backend, request.model, id(request.extra)
        if key not in self._models:
            self._models[key] = request.extra, self._find_digest(output)
        return self._models[key][1]

    def _find_digest(self, output: Output) -> str | None:
        try:
            return self.backends[output.request.backend].model_identity(output.request).digest
        except ImagegenError as error:
            raise error.with_problems(*(replace(one, where=output.task) for one in error.problems)) from None

    def accepted(self, output: Output) -> str | None:
        """Return the sha256 of the file that was accepted for the output's present request, if there is one."""
        decision = self.lock(output.job).decisions.get((ACCEPT, output.full_slug))
        if decision is None or decision.value is None or decision.value["fingerprint"] != output.fingerprint:
            return None
        return str(decision.value["sha256"])


def _by_name(outputs: Iterable[Output]) -> dict[str, list[Output]]:
    """Return the images by what a decision calls them: the full slug, and the slug of all variants."""
    found: dict[str, list[Output]] = defaultdict(list)
    for output in outputs:
        if not output.is_derived:
            for name in {output.full_slug, output.base}:
                found[name].append(output)
    return found
