"""What git does with this project, for `doit doctor`: merging lock files, ignoring files, Git LFS."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imagegen.backends.base import Diagnosis
from imagegen.backends.text import list_first
from imagegen.plan.output import Output
from imagegen.project.git import IgnoreRule, git_attribute, git_top, ignore_rules
from imagegen.project.job_parts import find_files
from imagegen.report.console import plural
from imagegen.state.lockfile import ATTRIBUTES
from imagegen.state.review_file import REVIEW_ATTRIBUTES

if TYPE_CHECKING:
    from imagegen.report.doctor import Case

__all__ = [
    "check_git",
    "check_ignored",
    "check_lfs",
]


def check_git(case: Case) -> Iterator[Diagnosis]:
    """Yield rows on the merging of lock files, and of review files if there are any, in a git repository."""
    if git_top(case.project.root) is None:
        return
    yield _merging(case.project.root, "lock", ATTRIBUTES)
    if any((case.project.root / "jobs").glob("*.review")):
        yield _merging(case.project.root, "review", REVIEW_ATTRIBUTES)


def _merging(root: Path, kind: str, attributes: str) -> Diagnosis:
    """Return the row on the merging of one kind of files. attributes: the line of .gitattributes for them."""
    merge = git_attribute(root, "merge", f"jobs/x.{kind}")
    if merge is None:
        hint = f"look at it: git check-attr merge jobs/x.{kind}"
        return Diagnosis(True, "git", f"does not say how it merges {kind} files", hint)
    if merge == "union":
        return Diagnosis(True, "git", f"merges {kind} files by keeping the lines of both sides")
    hint = f"echo '{attributes}' >> .gitattributes"
    path = root / ".gitattributes"
    if path.is_file() and not path.read_bytes().endswith(b"\n"):  # echo would go on in its last line
        hint = f"add this line at the end of .gitattributes: {attributes}"
    return Diagnosis(True, "git", f"merges {kind} files with conflict markers", hint)


def check_lfs(case: Case) -> Iterator[Diagnosis]:
    """Yield a row if outputs are still Git LFS pointers: they count as files, but nobody can look at them."""
    states = [case.project.hashes.state(output.path) for output, _ in case.verdicts]
    pointers = sum(state is not None and state.is_pointer for state in states)
    if pointers:
        found = f"{plural(pointers, 'image')} of {len(states)} not fetched: the files are pointers"
        yield Diagnosis(True, "Git LFS", found, "git lfs pull")


def check_ignored(case: Case) -> Iterator[Diagnosis]:
    """Yield a row for each rule that ignores what a clone would miss, where the project is in a git repository."""
    if git_top(case.project.root) is None:
        return
    files = {plan.name: plan.file for plan in case.plans} or {"x": "jobs/x.yaml"}
    locks = {name: f"jobs/{name}.lock" for name in files}
    images: dict[str, list[Output]] = defaultdict(list)
    for output, _ in case.verdicts:
        images[output.job].append(output)
    paths = [output.path for held in images.values() for output in held]
    items = [path for plan in case.plans if plan.parts.parts for path, _ in find_files(*plan.parts)]
    items = [path for path in dict.fromkeys(items) if not path.startswith("../")]
    reviews = [f"jobs/{name}.review" for name in files if (case.project.root / f"jobs/{name}.review").exists()]
    rules = ignore_rules(case.project.root, [*files.values(), *locks.values(), *reviews, *paths, *items])
    if rules is None:
        return  # the row on merging says that git cannot be asked
    yield from _jobs(rules, files)
    yield from _items(rules, items)
    yield from _locks(case, rules, locks, images)
    yield from _reviews(rules, reviews)
    if not case.project.settings.store:
        yield from _images(
            case, rules, [output for name in files if locks[name] not in rules for output in images[name]]
        )


def _jobs(rules: dict[str, IgnoreRule], files: dict[str, str]) -> Iterator[Diagnosis]:
    for rule, paths in _by_rule(rules, list(files.values())):
        found = f"ignores {list_first(paths)} by the rule {rule}: a clone doesn't have {_them(paths)}"
        yield Diagnosis(False, "git", found, rule.hint, blocks=False)


def _items(rules: dict[str, IgnoreRule], items: Sequence[str]) -> Iterator[Diagnosis]:
    for rule, paths in _by_rule(rules, items):
        found = f"ignores {plural(len(paths), 'file')} of items.folder ({list_first(paths)}) by the rule {rule}: "
        yield Diagnosis(True, "git", f"{found}a clone doesn't have {_them(paths)}", rule.hint)


def _locks(
    case: Case, rules: dict[str, IgnoreRule], locks: dict[str, str], images: dict[str, list[Output]]
) -> Iterator[Diagnosis]:
    jobs = {path: name for name, path in locks.items()}
    for rule, paths in _by_rule(rules, list(locks.values())):
        outputs = [output for path in paths for output in images[jobs[path]]]
        found = f"ignores {list_first(paths)} by the rule {rule}: "
        if not outputs or any(output.path not in rules for output in outputs):
            found += "a clone that has the images can't tell what made them, and replaces none"
            yield Diagnosis(False, "git", found, rule.hint, blocks=False)
        else:  # with placeholders alone that may well be meant
            found += "the images are ignored too, and a clone generates its own"
            yield Diagnosis(True, "git", found, rule.hint if _are_generated(case, outputs) else "")


def _reviews(rules: dict[str, IgnoreRule], reviews: Sequence[str]) -> Iterator[Diagnosis]:
    for rule, paths in _by_rule(rules, reviews):
        found = f"ignores {list_first(paths)} by the rule {rule}: nobody else sees these marks and notes"
        yield Diagnosis(True, "git", found, rule.hint)


def _images(case: Case, rules: dict[str, IgnoreRule], outputs: Sequence[Output]) -> Iterator[Diagnosis]:
    generated = [output.path for output in outputs if _are_generated(case, [output])]
    for rule, paths in _by_rule(rules, generated):
        found = f"ignores {plural(len(paths), 'image')} ({list_first(paths)}) by the rule {rule}, "
        found += f"and there is no shared store: a clone generates {_them(paths)} again"
        yield Diagnosis(True, "git", found, f"{rule.hint}; or use a shared store: docs/shared-store.md")


def _are_generated(case: Case, outputs: Sequence[Output]) -> bool:
    return any(
        not output.is_derived and case.project.backends[output.request.backend].is_generator for output in outputs
    )


def _by_rule(rules: dict[str, IgnoreRule], paths: Sequence[str]) -> Iterator[tuple[IgnoreRule, list[str]]]:
    found: dict[IgnoreRule, list[str]] = defaultdict(list)
    for path in paths:
        if path in rules:
            found[rules[path]].append(path)
    yield from found.items()


def _them(paths: Sequence[str]) -> str:
    return "it" if len(paths) == 1 else "them"
