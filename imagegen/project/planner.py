"""Plans jobs: from their files to outputs, or to everything that is wrong with them."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from imagegen.backends.base import Backend, Context, ReferenceFile, Resolved
from imagegen.config.checking import build_job, check_item, check_job, is_valid_item
from imagegen.config.document import Document, read_document
from imagegen.config.job import Item, Job, Step
from imagegen.config.job_files import (
    JOB_NAME,
    JOB_SUFFIXES,
    find_job_files,
    find_original,
    name_tasks,
    resolve_extends,
)
from imagegen.config.paths import LONGEST_PATH, check_name, check_path, count_path_units
from imagegen.config.schema import ITEM_SCHEMA, Sections
from imagegen.errors import ImagegenError, InputError, Problem
from imagegen.images.avif import NO_AVIF, has_avif
from imagegen.plan.expansion import BackendCapabilities, Expansion, expand
from imagegen.plan.folder_items import check_file_use, check_folder, check_no_file, put_file, uses_file
from imagegen.plan.naming import fold_path
from imagegen.plan.origins import link_origins
from imagegen.plan.output import Output
from imagegen.plan.record import MODEL_DECISION, Decision, collect_decisions
from imagegen.plan.wildcards import Wildcards
from imagegen.project.conflicts import Conflicts, copy_problem
from imagegen.project.folder_files import HEAD, NO_FILES, FolderFiles, ItemMatcher, check_image_file, list_files
from imagegen.project.job_parts import JobParts, split_job
from imagegen.project.job_plan import JobPlan, add_problems
from imagegen.project.lost_locks import refuse_lost_locks
from imagegen.project.step_files import StepFiles, list_step_files
from imagegen.project.step_models import find_step_models
from imagegen.prompts import SourceItem

if TYPE_CHECKING:
    from imagegen.project.project import Project

__all__ = ["Planner", "item_values", "prompt_reader"]


class _CheckedJob(NamedTuple):
    """A job that was read and checked."""

    job: Job
    items: tuple[Item, ...]  # all of them
    of_source: tuple[Mapping[str, Any], ...]  # what its prompt source says of items, or which files its folder has
    notes: tuple[str, ...]


class Planner:
    """Plans a project's jobs: reads what they are made of, not how their outputs stand."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._inputs = project.inputs
        self._root = project.root
        self._names: dict[str, list[str]] = {}
        """The files of each job's name."""
        self.sources: dict[str, set[str]] = defaultdict(set)
        """By job file, the files that say what its items and rules are: itself, what it extends, its prompt source."""
        self.section_files: dict[str, set[str]] = defaultdict(set)
        """By job file, the files that its sections for backends name."""
        inputs = project.inputs
        self._step_files = StepFiles(inputs, project.hashes)
        self.locate_steps = functools.cache(self._locate_steps)  # many of a job's outputs can fail
        self.wildcards = Wildcards(
            functools.lru_cache(inputs.wildcard_names), inputs.read_wildcard, unread=inputs.unread_wildcards
        )

    def plans(self, instead: Mapping[str, Collection[Decision]] | None = None) -> list[JobPlan]:
        """Plan all jobs, each with its outputs or with everything that is wrong with it.

        instead: by job, decisions to plan with in place of those of their kind and output in its lock file.
        """
        names = name_tasks(find_job_files(self._root), self._project.reserved)
        self._names = defaultdict(list)
        for path in names:
            self._names[path.stem].append(f"jobs/{path.name}")
        others = instead or {}
        plans = [self._plan(path, task, others.get(path.stem, ())) for path, task in names.items()]
        plans = Conflicts(self._project, self.section_files).refuse(plans)
        return self.link(refuse_lost_locks(self._project, plans))

    def document(self, file: str, data: bytes) -> Document:
        """Read a job file of this content, with what it extends. Raises ImagegenError."""
        sources = self.sources[file] = {file}

        def read_base(name: str, where: str) -> Document:
            sources.add(f"jobs/{name}")
            return self._inputs.read_base(name, where)

        return resolve_extends(read_document(file, data), read_base)

    def plan_of(self, file: str, data: bytes, instead: Collection[Decision] = ()) -> JobPlan:
        """Plan a job file of this content. instead: as for `expand_job`."""
        try:
            document = self.document(file, data)
        except ImagegenError as error:
            return add_problems(JobPlan(Path(file).stem, file, Path(file).stem), *error.problems)
        return self.plan_document(document, instead)

    def plan_document(self, document: Document, instead: Collection[Decision] = ()) -> JobPlan:
        """Plan the job file that the document is named after. instead: as for `expand_job`."""
        file, name = document.name, Path(document.name).stem
        plan = JobPlan(name, file, name)
        try:
            checked = self._checked(name, document)
            plan = self._expanded(plan, checked.job, checked.items, instead)
        except ImagegenError as error:
            return add_problems(plan, *error.problems)
        if plan.problems:
            return plan
        parts = split_job(document.values, checked.of_source)
        return replace(plan, notes=(*plan.notes, *checked.notes), parts=parts)

    def plan_items(self, file: str, head: str, items: Sequence[str]) -> JobPlan:
        """Plan some items of a job that was checked. Problems have no position.

        Args:
            file: of the job.
            head: all that the job says but its items, as `split_job` returns it.
            items: what it or its prompt source says of each, likewise.
        """
        values = {key: value for key, value in json.loads(head).items() if key != "source"}
        found = list(map(json.loads, items))
        if not isinstance(values.get("items"), dict):
            values["items"] = found
        name = Path(file).stem
        try:
            job = build_job(name, Document(file, values, {}))
            of_job = tuple(_folder_items(job, found)) if job.folder else job.items
            plan = self._expanded(JobPlan(name, file, name), job, of_job)
        except ImagegenError as error:
            return add_problems(JobPlan(name, file, name), *error.problems)
        return replace(plan, parts=JobParts(head, list(items)))

    def _locate_steps(self, job: str) -> list[Step]:
        """Return the steps of a job with their positions, which a job that was planned in part does not have.

        They are read again, for a message. If the job file has become invalid meanwhile, there are none.
        """
        for path in find_job_files(self._root):
            if path.stem == job:
                file = f"jobs/{path.name}"
                with contextlib.suppress(ImagegenError):
                    document = resolve_extends(read_document(file, self._inputs.read(file)), self._inputs.read_base)
                    checked = check_job(job, document, self._project.backends.sections())
                    return [step for rules in checked.derive for step in rules.steps]
        return []

    def are_valid(self, items: Iterable[Mapping[str, Any]]) -> bool:
        """Whether these are items of a job, by the rules of job files."""
        for item in items:
            sections = self._project.backends.sections() if item.keys() - ITEM_SCHEMA.keys() else _NO_SECTIONS
            if not is_valid_item(item, sections):
                return False
        return True

    def _expanded(
        self, plan: JobPlan, job: Job, items: tuple[Item, ...], instead: Collection[Decision] = ()
    ) -> JobPlan:
        """Return the plan with the job's outputs, or its problems. Raises ImagegenError."""
        expansion = self.expand_job(job, items, instead)
        folder = job.folder.pattern if job.folder else ""
        plan = replace(plan, description=job.description, backend=job.backend or "", folder=folder)
        plan = replace(plan, folder_where=job.where.get("items.folder", job.file))
        plan = replace(plan, outputs=expansion.outputs, notes=expansion.notes, step_files=tuple(list_step_files(job)))
        return add_problems(plan, *expansion.problems) if expansion.problems else plan

    def _plan(self, path: Path, task: str, instead: Collection[Decision]) -> JobPlan:
        file = f"jobs/{path.name}"
        try:
            original = find_original(path.stem, self._names)
            if original and (task != path.stem or _IS_SYNCED.search(path.stem)):
                raise InputError(copy_problem(file, self._names[original][0]))
            if task != path.stem:
                raise InputError(Problem(file, self._name_problem(path.stem)))
            if (self._root / file).is_symlink() and not (self._root / file).exists():
                raise InputError(Problem(file, "is a link that leads nowhere", "fix the link, or delete it"))
            return self.plan_of(file, self._inputs.read(file), instead)
        except ImagegenError as error:
            return add_problems(JobPlan(path.stem, file, task), *error.problems)

    def _checked(self, name: str, document: Document) -> _CheckedJob:
        """Check the job and its items, with those of its prompt source. Raises ImagegenError with all problems."""
        problems: list[Problem] = []
        job = None
        items: list[Item] = []
        of_source: list[Mapping[str, Any]] = []
        files = NO_FILES
        try:
            job = check_job(name, document, self._project.backends.sections())
            items += job.items
        except ImagegenError as error:
            problems += error.problems
        try:
            found = self.read_source(document)
            items += self._check_source_items(found)
            of_source += map(item_values, found)
            files = self.read_folder(document)
            of_source += files.items
            items += _folder_items(job, files.items) if job else []
        except ImagegenError as error:
            problems += error.problems
        if problems or job is None:
            raise InputError(*problems)
        return _CheckedJob(job, tuple(items), tuple(of_source), files.notes)

    def _name_problem(self, name: str) -> str:
        if name in self._project.reserved:
            return f"'{name}' is the name of a command or task: rename the file"
        if not JOB_NAME.fullmatch(name):
            return f"'{name}' is not a valid job name: use letters, digits, - and _, and begin with a letter or digit"
        return f"another job file has the name '{name}' too: rename one of them"

    def read_source(self, document: Document) -> list[SourceItem]:
        """Read the items of a job's prompt source, unchecked; none if it names none. Raises ImagegenError."""
        source = document.values.get("source") if isinstance(document.values, dict) else None
        if not isinstance(source, str):
            return []
        where = document.where(("source",))
        read = prompt_reader(source)
        if read is None:
            what = (
                f"source: '{source}' is not a prompt source by its suffix: use Markdown (.md, .markdown) or CSV (.csv)"
            )
            raise InputError(Problem(where, what))
        self.sources[document.name].add(source)
        return read(source, self._inputs.read_source(source, where))

    def read_folder(self, document: Document) -> FolderFiles:
        """List the files that are a job's items; none if it names no folder. Raises ImagegenError."""
        values = document.values.get("items") if isinstance(document.values, dict) else None
        pattern = values.get("folder") if isinstance(values, dict) else None
        if not isinstance(pattern, str) or not pattern.strip():  # the schema's checks say so
            return NO_FILES
        where = document.where(("items", "folder"))
        try:
            found = list_files(self._inputs, pattern)
        except ImagegenError as error:
            raise error.with_problems(*(replace(one, where=where) for one in error.problems)) from None
        self.sources[document.name].update(found.folders)
        return found

    def _check_source_items(self, sources: Iterable[SourceItem]) -> list[Item]:
        """Check the items of a prompt source. Raises ImagegenError with all problems."""
        problems: list[Problem] = []
        items: list[Item] = []
        for found in sources:
            overrides = dict(found.overrides)
            if found.negative is not None:
                if "negative" in overrides:
                    where = found.marks.get("negative", found.marks["name"])
                    problems.append(Problem(where, "negative: given twice, by its own block and in the yaml block"))
                overrides["negative"] = found.negative
            item, wrong = check_item(
                found.name, found.prompt, overrides, found.marks, self._project.backends.sections()
            )
            problems += wrong
            if item is not None:
                items.append(item)
        if problems:
            raise InputError(*problems)
        return items

    def expand_job(self, job: Job, items: tuple[Item, ...], instead: Collection[Decision] = ()) -> Expansion:
        """Expand a checked job into its outputs, with the backend that it or the settings name. Raises ImagegenError.

        instead: decisions in place of those of their kind and output in its lock file.
        """
        problems = [*check_folder(job), *check_no_file(job, items), *self._check_files(job, items)]
        capabilities: Callable[[Item], BackendCapabilities] = _ask_nobody
        if not job.has_pictures:
            backend = self._backend(job)
            problems += check_file_use(job, backend.name, backend.options)
            capabilities, wrong = self._resolve_capabilities(job, items, backend)
            problems += wrong
        step_files, wrong = self._step_files.look(job)
        self.section_files[job.file].update(path for path, _ in list_step_files(job))
        self._note_files({sha256: path for path, sha256 in step_files.items()})
        problems += [*wrong, *_check_avif(job)]
        models, wrong = find_step_models(job, self._project.settings.models)
        step_files |= models
        problems += wrong
        if problems:
            return Expansion((), tuple(problems))

        def planned(instead: Collection[Decision]) -> Expansion:
            decisions = dict(self._project.lock(job.name).decisions) | {(one.kind, one.output): one for one in instead}
            return expand(job, items, capabilities, collect_decisions(decisions.values()), self.wildcards, step_files)

        merged = self._project.choose_decisions(job.name, lambda decisions: planned(decisions).outputs)
        expansion = planned(instead)
        problems = list(expansion.problems)
        problems += _find_written(self._root, job, expansion.outputs)
        for key, path in dict.fromkeys(
            (_folder_key(job, one), one.path.rpartition("/")[0]) for one in expansion.outputs
        ):
            if problem := check_path(self._root, path or ".", self._project.settings.allow_outside):
                problems.append(Problem(job.where.get(key, job.file), f"{key}: {problem}"))
        for name in dict.fromkeys(output.path.rpartition("/")[2] for output in expansion.outputs):
            if problem := check_name(name):
                problems.append(Problem(job.where.get("output.name", job.file), f"output.name: {problem}"))
        for output in expansion.outputs:
            if len(output.path) > LONGEST_PATH // 2 and (length := count_path_units(output.path)) > LONGEST_PATH:
                what = f"output.dir: '{output.path[:60]}…' has {length} characters, at most {LONGEST_PATH} are portable"
                problems.append(Problem(job.where.get("output.dir", job.file), what, "shorten the folder or the name"))
            if output.path.endswith(JOB_SUFFIXES) and self._is_among_jobs(output.path):
                what = f"sheet.dir: {output.path} would be read as a job"
                problems.append(Problem(job.where.get("sheet.dir", job.file), what, "give it another folder"))
        return Expansion(expansion.outputs, tuple(problems), (*expansion.notes, *merged))

    def _check_files(self, job: Job, items: Iterable[Item]) -> Iterator[Problem]:
        """Yield what is wrong with the files of a job's folder at first sight. They are watched from now on."""
        for item in items if job.folder else ():
            if why := check_image_file(self._inputs, item.file):
                yield Problem(item.where, f"items.folder: {why}", "repair the file, or move it elsewhere")

    def _backend(self, job: Job) -> Backend:
        """Return the backend that the command line, the job or else the settings name. Raises ImagegenError."""
        settings = self._project.settings
        name = settings.forced_backend or job.backend or settings.backend
        try:
            return self._project.backends[name]
        except ImagegenError as error:
            is_own = name == job.backend and not settings.forced_backend
            where = job.where.get("backend", job.file) if is_own else settings.set_by.get("backend", "")
            raise error.with_problems(*(replace(one, where=where) for one in error.problems)) from None

    def _is_among_jobs(self, path: str) -> bool:
        folder, jobs = (os.path.realpath(self._root / one) for one in (Path(path).parent, "jobs"))
        return fold_path(f"{folder}/").startswith(fold_path(f"{jobs}/"))

    def _resolve_capabilities(
        self, job: Job, items: Sequence[Item], backend: Backend
    ) -> tuple[Callable[[Item], BackendCapabilities], list[Problem]]:
        """Return the backend's capabilities for each item, by the item's options, and what is wrong with those."""
        found: dict[str, BackendCapabilities] = {}
        problems: list[Problem] = []

        of_files = job.folder is not None and uses_file(job.sections.get(backend.name))

        def key(item: Item) -> str:
            own = item.sections.get(backend.name)
            return item.file if of_files else json.dumps(own, sort_keys=True) if own else ""

        files = self.section_files[job.file]
        own_files = {item.file for item in items}

        def read(name: str) -> bytes:
            if name not in own_files:
                files.add(name)
            return self._inputs.read_for_section(name)

        def look(name: str) -> ReferenceFile | None:
            if name not in own_files:
                files.add(name)
            if not self._inputs.may_look_at(name):
                return None
            try:
                state = self._project.hashes.state(name)
            except OSError:  # reading it says why
                return None
            if state is None or not state.sha256:
                return None
            head = self._inputs.read_head(name, HEAD)
            return ReferenceFile(head, state.size, state.sha256, state.is_pointer)

        context = Context(self._root, self._project.settings, read, look)
        for item in items:
            if key(item) in found:
                continue
            try:
                backend.context = context
                options = item.merge_section(job, backend.name, backend.options)
                if job.folder is None and uses_file(options):
                    continue  # `check_no_file` has reported it
                resolved = backend.resolve(put_file(options, item.file) if of_files else options)
                self._note_files(resolved.files)
            except ImagegenError as error:
                for problem in error.problems:
                    key_path = f"{backend.name}.{problem.where}".rstrip(".")
                    where = job.where.get(".".join(key_path.split(".")[:2]), job.file)
                    is_own = problem.where.split(".")[0] in item.sections.get(backend.name, {})
                    where = item.where if is_own else where
                    problems.append(Problem(where, f"{key_path}: {problem.what}", problem.hint))
                resolved = Resolved({}, "")
            decision = self._project.lock(job.name).decisions.get(MODEL_DECISION) if resolved.model is None else None
            found[key(item)] = BackendCapabilities(
                backend.name,
                backend.parameters - resolved.unused,
                decision.value if decision else resolved.model,
                resolved.extra,
                resolved.only_if_given,
                has_open_model=resolved.model is None,
                origins=resolved.origins,
                unused=resolved.unused,
            )
        return (lambda item: found[key(item)]), list(dict.fromkeys(problems))

    def _note_files(self, files: Mapping[str, str]) -> None:
        """Note where the files are that requests have by their sha256."""
        self._project.files |= {sha256: self._root / self._inputs.find_path(path) for sha256, path in files.items()}

    def link(self, plans: list[JobPlan]) -> list[JobPlan]:
        """Link outputs to those that they name as their reference images, which must be among them."""
        everything = [output for plan in plans for output in plan.outputs]
        if not any(origin.where for output in everything for origin in output.origins):
            return plans
        broken = {plan.name for plan in plans if plan.problems}
        linked, wrong = link_origins(everything, broken)
        return [
            add_problems(plan, *wrong[plan.name])
            if plan.name in wrong
            else replace(plan, outputs=tuple(linked.get(output.task, output) for output in plan.outputs))
            for plan in plans
        ]


_NO_SECTIONS: Sections = {}
"""Of an item that names no backend: then no backend need be asked for its options."""
_IS_SYNCED = re.compile(r"-(?:DESKTOP|LAPTOP|WIN|PC)-[A-Z0-9]{4,}|MacBook|iMac|sync-conflict")
"""Parts of names that sync tools give to files that two machines changed, and that could be a job's."""


def prompt_reader(source: str) -> Callable[[str, bytes], list[SourceItem]] | None:
    """Return what reads a prompt source of this name; imported only if a job has one."""
    ending = source.lower().rpartition(".")[2]
    if ending in ("md", "markdown"):
        from imagegen.prompts.markdown import read_markdown

        return read_markdown
    if ending == "csv":
        from imagegen.prompts.csv import read_csv

        return read_csv
    return None


def _folder_items(job: Job, files: Iterable[Mapping[str, str]]) -> list[Item]:
    """Return the items of a job that are files. files: as `FolderFiles.items`."""
    if job.folder is None:
        return []
    prompt, where = job.folder.prompt or "", job.where.get("items.folder", job.file)
    return [Item(one["name"], prompt, {}, where, file=one["file"]) for one in files]


def item_values(item: SourceItem) -> dict[str, Any]:
    """Return what a prompt source says of an item, as a job file would say it."""
    negative = {} if item.negative is None else {"negative": item.negative}
    return {"name": item.name, "prompt": item.prompt, **negative, **item.overrides}


def _folder_key(job: Job, output: Output) -> str:
    """Return the key of the job file that the output's folder comes from."""
    if output.is_derived:
        name = output.slug.rpartition(":")[2]
        if any(rules.name == name and rules.folder is not None for rules in job.derive):
            return f"derive.{name}.dir"
        if job.sheet and job.sheet.folder is not None and output.slug.partition(":")[0] == job.sheet.name:
            return "sheet.dir"
    return "output.dir"


def _check_avif(job: Job) -> list[Problem]:
    """Return the first place where a job wants AVIF, if Pillow cannot write it here."""
    encodings = [("output", job.output.encoding), *((f"derive.{rules.name}", rules.encoding) for rules in job.derive)]
    encodings += [("sheet", job.sheet.encoding)] if job.sheet else []
    key = next((key for key, encoding in encodings if encoding.format == "avif"), None)
    if key is None or has_avif():
        return []
    where = job.where.get(f"{key}.format") or job.where.get(key, job.file)
    install = f"{sys.executable} -m pip install --force-reinstall --only-binary :all: pillow"
    hint = f"{install}; or choose another format, such as webp"
    return [Problem(where, f"{key}.format: avif: {NO_AVIF}", hint)]


def _ask_nobody(_: Item) -> BackendCapabilities:
    """Return what a job that generates nothing asks of a backend."""
    return BackendCapabilities("", frozenset())


def _find_written(root: Path, job: Job, outputs: Iterable[Output]) -> Iterator[Problem]:
    """Yield a problem if an output of the job would be an item itself, once it is there."""
    if job.folder is None:
        return
    items = ItemMatcher(root, job.folder.pattern)
    if written := next((output.path for output in outputs if items.matches(output.path)), ""):
        what = f"items.folder: '{job.folder.pattern}' also matches what this job writes, such as {written}"
        where = job.where.get("items.folder", job.file)
        yield Problem(where, what, "name the folder more narrowly, or give output.dir another one")
