"""`doit restore`: go back to earlier versions of images."""

from __future__ import annotations

import contextlib
import os
import posixpath
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from imagegen.commands.accept import upload_pending
from imagegen.commands.build import Build, select_images
from imagegen.commands.command import Answer, answer_even_if_it_fails, command, option
from imagegen.errors import ImagegenError, InputError, Problem, printable

if TYPE_CHECKING:
    from imagegen.execute.versions import ImageVersion
    from imagegen.plan.output import Output
    from imagegen.report.results.versions import RestoredImage, Version

__all__ = ["find_named", "history_lines", "restore"]

_SHORTEST = 8
"""Characters of a sha256 that name a version: what is shorter is a number, or may mean several."""
_LONGEST = 48
"""Characters of a prompt in the list."""


@command(
    "restore",
    "Go back to an earlier version of images (--list shows them).",
    {
        "doit restore portraits:mallsing --list": "shows its versions",
        "doit restore portraits:mallsing": "goes back to the one before",
        "doit restore portraits:mallsing --to 3": "goes back to number 3 of the list",
        "doit restore portraits:mallsing --to 5f0c1a2b9d3e": "goes back to the file with this sha256",
        "doit restore portraits:mallsing portraits:yrr": "each goes back to the one before",
        "doit restore portraits:mallsing portraits:yrr --to 3 --to 2": "mallsing to number 3, yrr to number 2",
    },
    [
        option(
            "to",
            list,
            [],
            "the version's number in the list, or the beginning of its file's sha256; with several images, one for "
            "each, in their order [default: the one before the current one]",
        ),
        option("list", bool, False, "only show the versions", "l"),
    ],
    words="IMAGE...",
    result="imagegen.report.results.versions:RestoredImages",
)
def restore(build: Build, words: list[str], **options: Any) -> Answer:
    """Return the image's versions, and put one of them in place; or one of each image, if there are several."""
    from imagegen.execute.versions import list_versions, list_versions_of_each, restore_each
    from imagegen.report.results.versions import RestoredImages

    to, only_list = options["to"], options["list"]
    _find_images(build, words, to, only_list=only_list)  # a mistake is reported before anybody is waited for
    with contextlib.nullcontext() if only_list else build.lock():
        project = build.project
        outputs = [
            project.with_origins(project.with_decisions(output))
            for output in _find_images(build, words, to, only_list=only_list)
        ]
        versions = list(list_versions_of_each(project, outputs))
        listed = versions[0] if len(outputs) == 1 else []
        lines = list(history_lines(listed))
        result = RestoredImages((), _summarise_all(build, outputs[0], listed))
        if only_list:
            return Answer(result, lines or ["there is no version yet"])
        print("\n".join(lines), end="\n" * bool(lines), flush=True)
        wanted, already = _choose(build, outputs, versions, to)
        numbers = {id(one): at for own in versions for at, one in enumerate(own, start=1)}
        images = [_restored(build, output, one, numbers[id(one)], "fresh") for output, one in already]
        for one in images:
            print(printable(f"{one.task} is at version {one.number} already"), flush=True)
        with answer_even_if_it_fails(lambda: replace(result, images=tuple(images)) if images else None):
            for (output, version), stays in restore_each(project, wanted):
                of = f"version {numbers[id(version)]} of {_time(version)}"
                prompt = f"'{_shorten_prompt(version)}'" if version.request.get("prompt") else ""
                detail = ", ".join(filter(None, [of, prompt, stays]))
                print(printable(f"restored   {output.task}  {output.path}  ({detail})"), flush=True)
                images.append(_restored(build, output, version, numbers[id(version)], "restored", stays))
        if listed and wanted:
            output = project.with_origins(project.with_decisions(outputs[0]))
            result = replace(result, versions=_summarise_all(build, output, list_versions(project, output)))
    result = replace(result, images=tuple(images))
    with answer_even_if_it_fails(lambda: result):
        return Answer(result, problems=upload_pending(build))


def _restored(
    build: Build,
    output: Output,
    version: ImageVersion,
    number: int,
    state: Literal["restored", "fresh"],
    note: str = "",
) -> RestoredImage:
    from imagegen.report.results.versions import RestoredImage

    file = build.project.hashes.state(output.path)
    sha256, seed = file.sha256 if file else "", version.request.get("seed")
    return RestoredImage(output.task, output.path, state, number, version.time, seed, sha256, note)


def _summarise_all(build: Build, output: Output, versions: Sequence[ImageVersion]) -> tuple[Version, ...]:
    return tuple(_summarise(build, output, version, number) for number, version in enumerate(versions, start=1))


def _summarise(build: Build, output: Output, version: ImageVersion, number: int) -> Version:
    from imagegen.report.results.versions import Version
    from imagegen.report.run_summary import summarise_reasons

    request = version.request
    encoded = [sha256 for sha256, encoding in version.files.items() if encoding is not None]
    sha256 = next(iter(encoded), version.record.sha256)
    store = build.project.store
    file = output.path if version.is_now else Path(os.path.relpath(store.path(sha256), build.root)).as_posix()
    return Version(
        number,
        version.is_now,
        version.by_hand,
        version.time,
        file,
        sha256,
        tuple(dict.fromkeys([*version.files, version.record.sha256])),
        str(request.get("backend", "")),
        str(request.get("model", "")),
        str(request.get("prompt", "")),
        request.get("seed"),
        summarise_reasons(version.reasons),
    )


def _find_images(build: Build, words: Sequence[str], to: Sequence[str], *, only_list: bool) -> list[Output]:
    """Return the image that each word names. Raises ImagegenError."""
    if not words:
        raise InputError(Problem("", "name an image", "for example: doit restore JOB:IMAGE --list"))
    outputs = find_named(build, words, "--to", to)
    if only_list and len(outputs) > 1:
        what = f"that is {len(outputs)} images, and the versions of one are shown at a time"
        raise InputError(Problem("", what, f"for example: doit restore {outputs[0].task} --list"))
    return outputs


def find_named(build: Build, words: Sequence[str], option: str, given: Sequence[str]) -> list[Output]:
    """Return the image that each word names, in their order.

    Args:
        build: this invocation.
        words: the names, at least one.
        option: that has a value for each image.
        given: its values; none if it is left out.

    Raises:
        ImagegenError: a word stands for none or for several, one is named twice, or there are more or fewer values.
    """
    select_images(build, words)  # whatever names nothing, all at once
    named = {name: one.output for task, one in build.planned.items() for name in (task, one.output.path)}
    outputs = [named.get(posixpath.normpath(word)) or _only_image(build, word) for word in words]
    tasks = Counter(output.task for output in outputs)
    if twice := [Problem(task, "it is named twice", "name each image once") for task in tasks if tasks[task] > 1]:
        raise InputError(*twice)
    if given and len(given) != len(outputs):
        what = f"there are {len(outputs)} images and {len(given)} {option}"
        raise InputError(Problem("", what, "give it once for each image, in their order; or leave it out"))
    return outputs


def _only_image(build: Build, word: str) -> Output:
    planned = select_images(build, [word])
    if len(planned) != 1:
        hint = f"for example: {' '.join(one.output.task for one in planned[:2])}"
        raise InputError(Problem(word, f"that is {len(planned)} images, and here each goes by its own name", hint))
    return planned[0].output


def _choose(
    build: Build, outputs: Sequence[Output], versions: Sequence[Sequence[ImageVersion]], to: Sequence[str]
) -> tuple[list[tuple[Output, ImageVersion]], list[tuple[Output, ImageVersion]]]:
    """Return the version that each image goes to, and those of the images that are at it already.

    Raises ImagegenError with everything that cannot be gone back to.
    """
    from imagegen.execute.versions import previous_version

    wanted: list[tuple[Output, ImageVersion]] = []
    problems: list[Problem] = []
    first: list[Problem] = []
    already: list[tuple[Output, ImageVersion]] = []
    for at, (output, own) in enumerate(zip(outputs, versions, strict=True)):
        is_fresh = build.project.verdict(output).state != "stale"
        try:
            index = _find_version(output, own, to[at]) if to else previous_version(own, is_fresh=is_fresh)
        except ImagegenError as error:
            problems += error.problems
            continue
        if index is None:
            hint = "--to N goes to a later version" if len(own) > 1 else ""
            hint = hint if own else f"doit {output.task} generates the first one"
            first.append(Problem(output.task, "there is no earlier version to go back to", hint))
        elif own[index].is_now and is_fresh:
            already.append((output, own[index]))
        else:
            wanted.append((output, own[index]))
    if problems or first:
        raise (InputError if problems else ImagegenError)(*problems, *first)
    return wanted, already


def _find_version(output: Output, versions: Sequence[ImageVersion], to: str) -> int:
    """Return the index of the version that `--to` names. Raises ImagegenError."""
    if to.isdecimal() and len(to) < _SHORTEST:
        if 1 <= int(to) <= len(versions):
            return int(to) - 1
        raise InputError(Problem(output.task, f"there is no version {to}", "choose one from the list"))
    found = {
        sha256: at
        for at, version in reversed([*enumerate(versions)])
        for sha256 in (*version.files, version.record.sha256)
        if len(to) >= _SHORTEST and sha256.startswith(to.lower())
    }
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    what = "more than one version has a file whose sha256 begins like this" if found else "there is no version"
    hint = f"a number of the list, or at least {_SHORTEST} characters of the file's sha256"
    raise InputError(Problem(output.task, f"{what}: {to}", hint))


def history_lines(versions: Sequence[ImageVersion]) -> Sequence[str]:
    """Return a numbered line for each version, the newest first, below headings."""
    from imagegen.report.console import table

    rows = [["", "no.", "generated (UTC)", "seed", "backend", "prompt", ""]] if versions else []
    for number, version in enumerate(versions, start=1):
        request = version.request
        rows.append(
            [
                "→" if version.is_now else "",
                str(number),
                _time(version),
                str(request.get("seed", "")),
                f"{request.get('backend', '')} {request.get('model', '')}".strip(),
                _shorten_prompt(version),
                _difference(version),
            ]
        )
    return table(rows)


def _shorten_prompt(version: ImageVersion) -> str:
    prompt = " ".join(str(version.request.get("prompt", "")).split())
    return prompt if len(prompt) <= _LONGEST else f"{prompt[: _LONGEST - 1]}…"


def _time(version: ImageVersion) -> str:
    return version.time[:19].replace("T", " ")


def _difference(version: ImageVersion) -> str:
    values = ", ".join(str(reason).partition(" → ")[0].removesuffix(" changed") for reason in version.reasons)
    words = ["current" if version.is_now else "", "edited or accepted by hand" if version.by_hand else ""]
    words += [f"differs from now: {values}"] if values else []
    return f"({'; '.join(filter(None, words)) or 'same prompt and settings as now'})"
