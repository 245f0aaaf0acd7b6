"""The files of outputs: their names by a job's patterns, such as `{item} {mood}`, and those that clash."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from imagegen.config.job import Job, OutputRules
from imagegen.config.paths import check_name
from imagegen.errors import InputError, Problem, did_you_mean
from imagegen.plan.naming import fold_path, make_slug, write_in_ascii
from imagegen.plan.output import Output

__all__ = ["collect_words", "fill_pattern", "find_clashes", "find_clashing_names", "find_nested_paths"]

_FIELD = re.compile(r"\{([a-z][a-z0-9_]*)\}")


def collect_words(
    rules: OutputRules, item: str, axes: Mapping[str, str], variant: int, suffix: str = ""
) -> dict[str, str]:
    """Return what each word of a pattern stands for in the names of one image's files.

    Args:
        rules: the job's.
        item: the item's name.
        axes: the name of each axis's value, in the matrix's order.
        variant: its number; 0 if there are none.
        suffix: what its slug ends in besides: `-v2`.
    """
    write = write_in_ascii if rules.case == "keep" else make_slug
    names = [write(name).replace("-", rules.separator) for name in (item, *axes.values())]
    slug = rules.separator.join(names) + suffix.replace("-", rules.separator)
    return {"slug": slug, "item": names[0], "variant": str(variant or 1), **dict(zip(axes, names[1:], strict=True))}


def fill_pattern(pattern: str, words: Mapping[str, str], key: str, where: str) -> str:
    """Return the path that a pattern gives, from a folder on and without an extension.

    Args:
        pattern: as the job has it.
        words: what each of its words stands for.
        key: of the job, that has the pattern.
        where: `file:line:column` of the key.

    Raises:
        ImagegenError: there is no such word, or some system does not accept the name.
    """

    def fill(match: re.Match[str]) -> str:
        if match[1] not in words:
            what = f"{key}: there is no {{{match[1]}}}{did_you_mean(match[1], words)}"
            raise InputError(Problem(where, what, f"there are {', '.join(f'{{{word}}}' for word in words)}"))
        return words[match[1]]

    path = _FIELD.sub(fill, pattern)
    if problem := _check_filled(path, words):
        raise InputError(Problem(where, f"{key}: {problem}"))
    return path


def _check_filled(path: str, words: Mapping[str, str]) -> str:
    """Return what is wrong with a pattern's path; empty if nothing is."""
    *folders, name = path.split("/")
    if "{" in path and "}" not in path.partition("{")[2]:
        return "a { has no }"
    if "{" in path or "}" in path:
        return f"there are only {', '.join(f'{{{word}}}' for word in words)}"
    if path.startswith("/") or ".." in (*folders, name):
        return "is not a path within its folder"
    if not name.strip("."):
        return f"'{path}' has no file name"
    if blank := next((part for part in (*folders, name) if part != part.strip()), ""):
        return f"'{path}': '{blank}' begins or ends in a space, which some systems drop"
    return check_name(path)


class _HasPath(Protocol):
    @property
    def path(self) -> str: ...


_WithPath = TypeVar("_WithPath", bound=_HasPath)


def find_clashes(outputs: Sequence[_WithPath], folders: Mapping[str, str]) -> list[tuple[_WithPath, _WithPath]]:
    """Return pairs of outputs with one path. Paths that differ only in case or Unicode normalisation also count as one.

    Args:
        outputs: of all jobs.
        folders: the real name of each folder that is a symlink to another.
    """
    first: dict[str, _WithPath] = {}
    others = ((first.setdefault(key, output), output) for key, output in _key_by_path(outputs, folders))
    return [(other, output) for other, output in others if other is not output]


def find_nested_paths(outputs: Sequence[_WithPath], folders: Mapping[str, str]) -> list[tuple[_WithPath, _WithPath]]:
    """Return pairs of an output and one below it, as if its file were a folder. folders: as for `find_clashes`."""
    keyed = dict(_key_by_path(outputs, folders))
    inside = {key.rpartition("/")[0]: output for key, output in keyed.items()}
    return [
        (keyed[above], output)
        for folder, output in inside.items()
        for above in itertools.accumulate(folder.split("/"), "{}/{}".format)
        if above in keyed
    ]


def _key_by_path(outputs: Sequence[_WithPath], folders: Mapping[str, str]) -> Iterator[tuple[str, _WithPath]]:
    for output in outputs:
        folder, _, name = output.path.rpartition("/")
        yield fold_path(f"{folders.get(folder, folder)}/{name}"), output


def find_clashing_names(job: Job, outputs: Sequence[Output]) -> Iterator[Problem]:
    """Yield a problem for each pattern of a job that gives two of its outputs one file."""
    patterns = {f"derive.{rules.name}.name": rules.file_name for rules in job.derive if rules.file_name is not None}
    patterns |= {"output.name": job.output.name} if job.output.name != OutputRules.name else {}
    found: dict[str, list[tuple[Output, Output]]] = {}
    for pair in find_clashes(outputs, {}) if patterns else ():
        keys = [f"derive.{one.slug.partition(':')[2]}.name" for one in reversed(pair)]
        key = next((key for key in (*keys, "output.name") if key in patterns), "")
        found.setdefault(key, []).append(pair)
    for key, pattern in patterns.items():
        if pairs := found.get(key):
            one, other = pairs[0]
            more = f", and {len(pairs) - 1} more have the same problem" if len(pairs) > 1 else ""
            what = f"{key}: '{one.task}' and '{other.task}' would both be written to {other.path}{more}"
            yield Problem(job.where.get(key, job.file), what, _suggest_name(job, key, pattern, one, other))


def _suggest_name(job: Job, key: str, pattern: str, one: Output, other: Output) -> str:
    """Return how to keep two outputs apart whose files have one name."""
    if key != "output.name" and one.slug.partition(":")[2] != other.slug.partition(":")[2]:
        return f"put {{name}} into it, or give it a folder of its own: {key.removesuffix('name')}dir"
    needed = ["item", *job.matrix, *(["variant"] if job.variants > 1 else [])]
    missing = [f"{{{word}}}" for word in needed if f"{{{word}}}" not in pattern]
    if missing and "{slug}" not in pattern:
        return f"put {' and '.join(missing)} into it"
    return "put something between its words that keeps them apart, such as a hyphen"
