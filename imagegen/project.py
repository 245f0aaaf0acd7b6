"""A project: its settings, its job files as planned outputs, and how each output stands to what is on disk."""

from __future__ import annotations

import functools
import json
import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from imagegen.backends.base import Backend, Context, Resolved, Resolving
from imagegen.config.checking import check_item, check_job
from imagegen.config.document import MAX_BYTES, Document, read_document
from imagegen.config.extends import extended
from imagegen.config.job import Item, Job
from imagegen.config.job_files import JOB_NAME, JOB_SUFFIXES, job_files, task_names
from imagegen.config.paths import LONGEST_PATH, name_problem, path_problem, path_units
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, Problem, did_you_mean, printable
from imagegen.plan.expansion import Expansion, Honours, clashes, expand, within
from imagegen.plan.freshness import Found, Verdict, compare
from imagegen.plan.linking import link
from imagegen.plan.merged import counting
from imagegen.plan.naming import path_key
from imagegen.plan.output import Output
from imagegen.plan.record import ACCEPT, MODEL, REROLL, SEED, Decision, OutputLine, decided
from imagegen.plan.wildcards import WILDCARD_FOLDER, Wildcards
from imagegen.prompts.item import SourceItem
from imagegen.state.attempts import Attempts
from imagegen.state.hashes import Hashes, StatKey, stat_key
from imagegen.state.lockfile import LockFile, read_lock_file
from imagegen.state.store import Store

__all__ = ["MODEL_DECISION", "JobPlan", "Project"]

MODEL_DECISION = (MODEL, "")
"""Kind and output of the decision that gives a job, which names no model, the only one there was."""
MAX_TOLD = 100
"""Problems of one job: who has more of them mends the cause of many, and a terminal keeps no more lines."""


@dataclass(frozen=True)
class JobPlan:
    """One job file, read and planned.

    file: as shown to the user. task: what doit calls it, the job's name where that can be. outputs: empty where
    there are problems: a broken job generates nothing. notes: what its user should be told once in a run.
    backend: as the file names it; empty where it names none.
    """

    name: str
    file: str
    task: str
    description: str = ""
    outputs: tuple[Output, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    backend: str = ""

    @property
    def doc(self) -> str:
        """Its line in `doit list`."""
        return printable(" ".join((self.description.strip() or f"the images of {self.file}").split()))


@dataclass
class Project:
    """One project on disk.

    root: its folder, absolute. registry: the backends that a job can name. reserved: names no job may have.
    """

    root: Path
    settings: Settings
    registry: Mapping[str, Callable[[], Backend]]
    reserved: Collection[str] = ()
    locks: dict[str, LockFile] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.state = self.root / ".imagegen"
        self.temporary = self.state / "tmp"
        self.store = Store(self.state / "store", self.temporary)
        self.attempts = Attempts(self.state / "attempts.jsonl", self.temporary)
        self.hashes = Hashes(self.root, self.state / "cache" / "hashes.json")
        self.failures = self.state / "cache" / "failures.json"
        """What failed when it was last tried: see `state.failures`."""
        self.inputs: dict[str, StatKey | None] = {}
        """How each job file, base, prompt source and wildcard file stood, by its path, before it was read."""
        self.wildcards = Wildcards(functools.lru_cache(self._wildcard_names), self._read_wildcard)
        self._backends: dict[str, Backend] = {}
        self._counting: dict[tuple[str, str, str], Decision] = {}
        """By job, kind and output, the decision that counts of those that branches took before they were merged."""

    def backend(self, name: str) -> Backend:
        """The one object of this run for a backend. Raises ImagegenError where there is none of that name."""
        if name not in self._backends:
            if name not in self.registry:
                raise ImagegenError(
                    Problem(
                        "",
                        f"there is no backend '{name}'{did_you_mean(name, self.registry)}",
                        f"choose one of {', '.join(sorted(self.registry))}",
                    )
                )
            try:
                self._backends[name] = self.registry[name]()
            except Exception as error:  # a backend of somebody else's can fail in any way
                what = f"the backend {name} cannot be used: {type(error).__name__}: {error}"
                raise ImagegenError(Problem("", what, "mend or uninstall the package that brings it")) from None
        return self._backends[name]

    def sections(self) -> dict[str, Mapping[str, Any]]:
        """Each backend's name → the schema of its section in a job. Raises ImagegenError."""
        return {name: self.backend(name).options for name in self.registry}

    def plans(self, instead: Mapping[str, Collection[Decision]] | None = None) -> list[JobPlan]:
        """All jobs, each with its outputs or with all that is wrong with it.

        instead: by job, decisions to plan with in place of those of their kind and output in its lock file.
        """
        names = task_names(job_files(self.root), self.reserved)
        others = instead or {}
        plans = [self._plan(path, task, others.get(path.stem, ())) for path, task in names.items()]
        return self._linked(self._without_clashes(plans))

    def lock(self, job: str) -> LockFile:
        """The job's lock file, read once. Raises ImagegenError where it cannot be understood."""
        if job not in self.locks:
            name = f"jobs/{job}.lock"
            mend = "restore the file from git, or delete it"
            if problem := self._outside(name):
                raise ImagegenError(Problem(name, problem, mend))
            lock = read_lock_file(name, self.root / name)
            for folder in dict.fromkeys(path.rpartition("/")[0] for path in lock.lines):
                # what it names is read, and may be removed
                if problem := self._outside(folder or "."):
                    raise ImagegenError(Problem(name, f"has the line of an output in {problem}", mend))
            for kind, output in list(lock.rivals):
                if (known := self._counting.get((job, kind, output))) in lock.rivals[kind, output]:
                    lock.settle(known)
            self.locks[job] = lock
        return self.locks[job]

    def _outside(self, path: str) -> str:
        """Why nothing may be read there; empty where it may."""
        return path_problem(self.root, path, self.settings.allow_outside, writes=False)

    def recorded(self) -> Iterator[OutputLine]:
        """Every line of the lock files that were read so far."""
        return (line for lock in self.locks.values() for lines in lock.lines.values() for line in lines)

    def reload_locks(self) -> bool:
        """Read the lock files anew: another build may have written since. Whether it decided anything."""
        before = dict(self.locks)
        self.locks.clear()
        self.store.forget()
        changed = [job for job, lock in before.items() if self.lock(job).decisions != lock.decisions]
        return bool(changed)

    def decided(self, output: Output) -> Output:
        """The output with its random seed and its model, where they have been decided since it was planned."""
        decisions = self.lock(output.job).decisions
        if (seed := decisions.get((SEED, output.full_slug))) and output.draws_seed:
            output = output.decided(seed=seed.value)
        if (reroll := decisions.get((REROLL, output.full_slug))) and not output.own_seed:
            output = output.decided(seed=reroll.value)
        if (model := decisions.get(MODEL_DECISION)) and output.decides_model:
            output = output.decided(model=model.value)
        return output

    def with_origins(self, output: Output, unsettled: Collection[str] = ()) -> Output:
        """The output made from the files that its origins are now; one that is not there is not settled.

        unsettled: tasks of origins that are yet to be made. Raises OSError where one cannot be read.
        """
        if not output.origins:
            return output
        states = [self.hashes.state(origin.path) if origin.task not in unsettled else None for origin in output.origins]
        shas = [state.sha256 if state else "" for state in states]
        if shas == [origin.sha256 for origin in output.origins]:
            return output
        pairs = zip(output.origins, shas, strict=True)
        return output.decided(origins=[replace(origin, sha256=sha256) for origin, sha256 in pairs])

    def found(self, output: Output) -> Found:
        """What is at the output's path, and whether this build wrote it. Raises OSError."""
        state = self.hashes.state(output.path)
        if state is None:
            accepted_one = self.accepted(output)
            return Found(None, accepted=accepted_one is not None and not self.store.has(accepted_one))
        lock = self.lock(output.job)
        owned = lock.owns(output.path, state.sha256)
        decision = lock.decisions.get((ACCEPT, output.full_slug))
        if decision is None or decision.value is None or decision.value["sha256"] != state.sha256:
            return Found(state.sha256, owned or self.store.is_ours(state.sha256))
        accepted = decision.value["fingerprint"] == output.fingerprint
        return Found(state.sha256, ours=True, accepted=accepted, by_hand=not owned)

    def verdict(self, output: Output, *, forced: bool = False) -> Verdict:
        """How the output stands. Raises OSError where the file there cannot be read."""
        found = self.found(output)
        line = self.lock(output.job).line_of(output.path, found.sha256)
        return compare(output, line, found, self.model_digest(output), forced)

    def model_digest(self, output: Output) -> str | None:
        """Of the model that would draw this output, where it is known locally and cheaply. Raises ImagegenError."""
        if output.is_derived:
            return None
        try:
            return self.backend(output.request.backend).model_identity(output.request).digest
        except Exception as error:  # a backend of somebody else's can fail in any way
            what = f"the backend {output.request.backend} cannot name its model: {type(error).__name__}: {error}"
            raise ImagegenError(Problem(output.task, what)) from None

    def accepted(self, output: Output) -> str | None:
        """The sha256 of the file that was accepted for what the output's request is now, if one was."""
        decision = self.lock(output.job).decisions.get((ACCEPT, output.full_slug))
        if decision is None or decision.value is None or decision.value["fingerprint"] != output.fingerprint:
            return None
        return str(decision.value["sha256"])

    def expand_job(self, job: Job, items: tuple[Item, ...], instead: Collection[Decision] = ()) -> Expansion:
        """The outputs of a checked job, with the backend that it or the settings name. Raises ImagegenError.

        instead: decisions in place of those of their kind and output in its lock file.
        """
        backend = self.backend(self.settings.forced_backend or job.backend or self.settings.backend)
        honours, problems = self._honours(job, items, backend)
        if problems:
            return Expansion((), tuple(problems))

        def planned(instead: Collection[Decision]) -> Expansion:
            decisions = self.lock(job.name).decisions | {(one.kind, one.output): one for one in instead}
            return expand(job, items, honours, decided(decisions.values()), self.wildcards)

        self._settle_rivals(job.name, lambda decision: planned([decision]).outputs)
        expansion = planned(instead)
        problems = list(expansion.problems)
        for key, path in dict.fromkeys(
            (_folder_key(job, one), one.path.rpartition("/")[0]) for one in expansion.outputs
        ):
            if problem := path_problem(self.root, path or ".", self.settings.allow_outside):
                problems.append(Problem(job.where.get(key, job.file), f"{key}: {problem}"))
        for name in dict.fromkeys(output.path.rpartition("/")[2] for output in expansion.outputs):
            if problem := name_problem(name):
                problems.append(Problem(job.where.get("output.name", job.file), f"output.name: {problem}"))
        for output in expansion.outputs:
            if len(output.path) > LONGEST_PATH // 2 and (length := path_units(output.path)) > LONGEST_PATH:
                what = f"output.dir: '{output.path[:60]}…' has {length} characters, at most {LONGEST_PATH} are portable"
                problems.append(Problem(job.where.get("output.dir", job.file), what, "shorten the folder or the name"))
            if output.path.endswith(JOB_SUFFIXES) and self._is_among_jobs(output.path):
                what = f"sheet.dir: {output.path} would be read as a job"
                problems.append(Problem(job.where.get("sheet.dir", job.file), what, "give it another folder"))
        return Expansion(expansion.outputs, tuple(problems), expansion.notes)

    def _settle_rivals(self, job: str, outputs_with: Callable[[Decision], Collection[Output]]) -> None:
        """Where branches were merged that each decided about an image, its file says which decision counts."""
        lock = self.lock(job)

        def concerned(decision: Decision) -> list[Output]:
            outputs = (output for output in outputs_with(decision) if not output.is_derived)
            return [output for output in outputs if decision.output in (output.full_slug, output.base)]

        def shown(output: Output) -> tuple[str | None, OutputLine | None]:
            state = self.hashes.state(output.path)
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

    def _is_among_jobs(self, path: str) -> bool:
        folder, jobs = (os.path.realpath(self.root / one) for one in (Path(path).parent, "jobs"))
        return path_key(f"{folder}/").startswith(path_key(f"{jobs}/"))

    def _honours(
        self, job: Job, items: Iterable[Item], backend: Backend
    ) -> tuple[Callable[[Item], Honours], list[Problem]]:
        """What the backend honours of each item, as its options have it; and what is wrong with those."""
        found: dict[str, Honours] = {}
        problems: list[Problem] = []

        def key(item: Item) -> str:
            return json.dumps(item.sections.get(backend.name, {}), sort_keys=True)

        for item in items:
            if key(item) in found:
                continue
            try:
                resolved = self._resolve(backend, item.section(job, backend.name))
            except ImagegenError as error:
                for problem in error.problems:
                    key_path = f"{backend.name}.{problem.where}".rstrip(".")
                    where = job.where.get(".".join(key_path.split(".")[:2]), job.file)
                    is_own = problem.where.split(".")[0] in item.sections.get(backend.name, {})
                    where = item.where if is_own else where
                    problems.append(Problem(where, f"{key_path}: {problem.what}", problem.mend))
                resolved = Resolved({}, "")
            decision = self.lock(job.name).decisions.get(MODEL_DECISION) if resolved.model is None else None
            found[key(item)] = Honours(
                backend.name,
                backend.parameters,
                decision.value if decision else resolved.model,
                resolved.extra,
                resolved.where_given,
                decides_model=resolved.model is None,
                origins=resolved.origins,
            )
        return (lambda item: found[key(item)]), list(dict.fromkeys(problems))

    def _resolve(self, backend: Backend, section: Mapping[str, Any]) -> Resolved:
        if isinstance(backend, Resolving):
            return backend.resolve(section, Context(self.root, self.settings, self._read_for_section))
        model = section.get(backend.model_option, backend.default_model) if backend.model_option else ""
        return Resolved({key: value for key, value in section.items() if key != backend.model_option}, model)

    def _read_for_section(self, name: str) -> bytes:
        if problem := path_problem(self.root, name, self.settings.allow_outside, writes=False):
            raise ImagegenError(Problem("", problem))
        return self._read(name)

    def document(self, file: str, data: bytes) -> Document:
        """The job file's document with what it extends, if this were its content. Raises ImagegenError."""
        return extended(read_document(file, data), self._read_base)

    def plan_of(self, file: str, data: bytes, instead: Collection[Decision] = ()) -> JobPlan:
        """The job file's plan, if this were its content. instead: as for `expand_job`."""
        name = Path(file).stem
        plan = JobPlan(name, file, name)
        try:
            job, items = self._checked(name, self.document(file, data))
            expansion = self.expand_job(job, items, instead)
        except ImagegenError as error:
            return _broken(plan, *error.problems)
        plan = replace(plan, description=job.description, backend=job.backend or "")
        plan = replace(plan, outputs=expansion.outputs, notes=expansion.notes)
        return _broken(plan, *expansion.problems) if expansion.problems else plan

    def _plan(self, path: Path, task: str, instead: Collection[Decision]) -> JobPlan:
        file = f"jobs/{path.name}"
        try:
            if task != path.stem:
                raise ImagegenError(Problem(file, self._name_problem(path.stem)))
            return self.plan_of(file, self._read(file), instead)
        except ImagegenError as error:
            return _broken(JobPlan(path.stem, file, task), *error.problems)

    def _checked(self, name: str, document: Document) -> tuple[Job, tuple[Item, ...]]:
        """The job, and its items with those of its prompt source. Raises ImagegenError with all that is wrong."""
        problems: list[Problem] = []
        job = None
        items: list[Item] = []
        try:
            job = check_job(name, document, self.sections())
            items += job.items
        except ImagegenError as error:
            problems += error.problems
        source = document.values.get("source") if isinstance(document.values, dict) else None
        if isinstance(source, str):
            try:
                items += self._source_items(source, document.where(("source",)))
            except ImagegenError as error:
                problems += error.problems
        if problems or job is None:
            raise ImagegenError(*problems)
        return job, tuple(items)

    def _name_problem(self, name: str) -> str:
        if name in self.reserved:
            return f"a job cannot have the name '{name}', a command or task has it: rename the file"
        if not JOB_NAME.fullmatch(name):
            return f"'{name}' is no name for a job: letters, digits, - and _, a letter or digit first"
        return f"another job file has the name '{name}' too: rename one of them"

    def _source_items(self, source: str, where: str) -> list[Item]:
        if problem := path_problem(self.root, source, self.settings.allow_outside, writes=False):
            raise ImagegenError(Problem(where, f"source: {problem}"))
        read = _reader(source)
        if read is None:
            what = f"source: '{source}' is no prompt source by its ending: Markdown (.md, .markdown) or CSV (.csv)"
            raise ImagegenError(Problem(where, what))
        try:
            data = self._read(source)
        except ImagegenError as error:
            raise ImagegenError(
                *(Problem(where, f"source: {p.where}: {p.what}", p.mend) for p in error.problems)
            ) from None
        problems: list[Problem] = []
        items: list[Item] = []
        for found in read(source, data):
            overrides = dict(found.overrides)
            if found.negative is not None:
                if "negative" in overrides:
                    where = found.marks.get("negative", found.marks["name"])
                    problems.append(Problem(where, "negative: given by its own block, and in the yaml block too"))
                overrides["negative"] = found.negative
            item, wrong = check_item(found.name, found.prompt, overrides, found.marks, self.sections())
            problems += wrong
            if item is not None:
                items.append(item)
        if problems:
            raise ImagegenError(*problems)
        return items

    def _read_base(self, name: str, where: str) -> Document:
        file = f"jobs/{name}"
        if problem := path_problem(self.root, file, self.settings.allow_outside, writes=False):
            raise ImagegenError(Problem(where, f"extends: {problem}"))
        try:
            data = self._read(file)
        except ImagegenError as error:
            folder = self.root / "jobs"
            known = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in JOB_SUFFIXES]
            what = f"extends: {file}: {error.problems[0].what}{did_you_mean(name, known)}"
            raise ImagegenError(Problem(where, what)) from None
        return read_document(file, data)

    def _wildcard_names(self) -> tuple[str, ...]:
        folder = self.root / WILDCARD_FOLDER
        found = (path.relative_to(folder).with_suffix("") for path in sorted(folder.rglob("*.txt")))
        return tuple(unicodedata.normalize("NFC", path.as_posix()) for path in found)

    def _read_wildcard(self, file: str) -> bytes:
        if problem := path_problem(self.root, file, self.settings.allow_outside, writes=False):
            raise ImagegenError(Problem(file, problem))
        return self._read(file)

    def _read(self, name: str) -> bytes:
        path = self.root / name
        try:
            self.inputs[name] = stat_key(path)
            if self.inputs[name] and not path.is_file():  # a pipe would be waited for
                raise ImagegenError(Problem(name, "cannot be read: it is no file"))
            with path.open("rb") as file:
                return file.read(MAX_BYTES + 1)  # one more: whoever reads it says that it is too large
        except FileNotFoundError:
            raise ImagegenError(Problem(name, "there is no such file")) from None
        except OSError as error:
            raise ImagegenError(Problem(name, f"cannot be read: {error.strerror}")) from None

    def _linked(self, plans: list[JobPlan]) -> list[JobPlan]:
        """With the files of outputs that others name as their reference images."""
        everything = [output for plan in plans for output in plan.outputs]
        if not any(origin.where for output in everything for origin in output.origins):
            return plans
        broken = {plan.name for plan in plans if plan.problems}
        linked, wrong = link(everything, broken, self.root.as_posix())
        return [
            _broken(plan, *wrong[plan.name])
            if plan.name in wrong
            else replace(plan, outputs=tuple(linked.get(output.task, output) for output in plan.outputs))
            for plan in plans
        ]

    def _without_clashes(self, plans: list[JobPlan]) -> list[JobPlan]:
        everything = [output for plan in plans if not plan.problems for output in plan.outputs]
        files = {plan.name: plan.file for plan in plans}
        wrong: dict[str, list[Problem]] = defaultdict(list)
        folders = {output.path.rpartition("/")[0] for output in everything}
        real = {folder: os.path.realpath(self.root / folder) for folder in folders}
        for one, other in clashes(everything, real):
            what = f"'{one.task}' and '{other.task}' would both be written to {other.path}"
            if one.path != other.path and real[one.path.rpartition("/")[0]] != real[other.path.rpartition("/")[0]]:
                what += f" ({one.path} differs from it in case or Unicode normalisation only)"
            wrong[other.job].append(Problem(files[other.job], what))
        for one, other in within(everything, real):
            what = f"'{other.task}' would be written to {other.path}, but {one.path} is the file of '{one.task}'"
            wrong[other.job].append(Problem(files[other.job], what))
        return [
            _broken(plan, *wrong[plan.name]) if plan.name in wrong and not plan.problems else plan for plan in plans
        ]


def _reader(source: str) -> Callable[[str, bytes], list[SourceItem]] | None:
    """What reads a prompt source of this name; imported only where a job has one."""
    ending = source.lower().rpartition(".")[2]
    if ending in ("md", "markdown"):
        from imagegen.prompts.markdown import read_markdown

        return read_markdown
    if ending == "csv":
        from imagegen.prompts.csv import read_csv

        return read_csv
    return None


def _folder_key(job: Job, output: Output) -> str:
    """The key of the job file that the output's folder comes from."""
    if output.is_derived:
        name = output.slug.rpartition(":")[2]
        if any(rules.name == name and rules.folder is not None for rules in job.derive):
            return f"derive.{name}.dir"
        if job.sheet and job.sheet.folder is not None and output.slug.partition(":")[0] == job.sheet.name:
            return "sheet.dir"
    return "output.dir"


def _broken(plan: JobPlan, *problems: Problem) -> JobPlan:
    found = (*plan.problems, *sorted(problems, key=_position))
    if len(found) > MAX_TOLD:
        more = Problem(plan.file, f"has {len(found) - MAX_TOLD} more problems")
        found = (*found[:MAX_TOLD], more)
    return replace(plan, outputs=(), problems=found)


def _position(problem: Problem) -> tuple[str, tuple[int, ...]]:
    file, *numbers = problem.where.split(":")
    return file, tuple(int(number) for number in numbers if number.isdigit())
