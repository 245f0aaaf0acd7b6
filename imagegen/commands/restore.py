"""`doit restore`: go back to an earlier version of an image."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from imagegen.commands.accept import upload_pending
from imagegen.commands.build import Build, select_images
from imagegen.commands.command import command, option
from imagegen.errors import ImagegenError, Problem, printable

if TYPE_CHECKING:
    from imagegen.execute.curation import ImageVersion
    from imagegen.plan.output import Output

__all__ = ["history_lines", "restore"]

_SHORTEST = 8
"""Characters of a sha256 that name a version: what is shorter is a number, or may mean several."""
_LONGEST = 48
"""Characters of a prompt in the list."""


@command(
    "restore",
    "Go back to an earlier version of an image (--list shows them).",
    {
        "doit restore portraits:mallsing --list": "shows its versions",
        "doit restore portraits:mallsing": "goes back to the one before",
        "doit restore portraits:mallsing --to 3": "goes back to number 3 of the list",
        "doit restore portraits:mallsing --to 5f0c1a2b9d3e": "goes back to the file with this sha256",
    },
    [
        option(
            "to",
            str,
            None,
            "the version's number in the list, or the beginning of its file's sha256 "
            "[default: the one before the current one]",
        ),
        option("list", bool, False, "only show the versions", "l"),
    ],
    words="IMAGE",
)
def restore(build: Build, words: list[str], **options: Any) -> None:
    """Print the image's versions, and put one of them in place."""
    from imagegen.execute.curation import list_versions, previous_version, restore

    to, only_list = options["to"], options["list"]
    _only_image(build, words)
    with contextlib.nullcontext() if only_list else build.lock():
        output = build.project.with_origins(build.project.with_decisions(_only_image(build, words)))
        versions = list_versions(build.project, output)
        print("\n".join(history_lines(versions) or ["there is no version yet"] * only_list))
        if only_list:
            return
        is_fresh = build.project.verdict(output).state != "stale"
        index = previous_version(versions, is_fresh=is_fresh) if to is None else _find_version(output, versions, to)
        if index is None:
            hint = "--to N goes to a later version" if len(versions) > 1 else ""
            hint = hint if versions else f"doit {output.task} generates the first one"
            raise ImagegenError(Problem(output.task, "there is no earlier version to go back to", hint))
        version = versions[index]
        if version.is_now and is_fresh:
            print(f"{output.task} is at version {index + 1} already")
            return
        stays = restore(build.project, output, version)
        detail = ", ".join(filter(None, [f"the version of {_time(version)}", stays]))
        print(printable(f"restored   {output.task}  {output.path}  ({detail})"), flush=True)
    upload_pending(build)


def _only_image(build: Build, words: Sequence[str]) -> Output:
    planned = select_images(build, words) if words else []
    if len(planned) != 1:
        what = f"that is {len(planned)} images, and one is restored at a time" if planned else "name an image"
        example = planned[0].output.task if planned else "JOB:IMAGE"
        raise ImagegenError(Problem(" ".join(words), what, f"for example: doit restore {example} --list"))
    return planned[0].output


def _find_version(output: Output, versions: Sequence[ImageVersion], to: str) -> int:
    """Return the index of the version that `--to` names. Raises ImagegenError."""
    if to.isdecimal() and len(to) < _SHORTEST:
        if 1 <= int(to) <= len(versions):
            return int(to) - 1
        raise ImagegenError(Problem(output.task, f"there is no version {to}", "choose one from the list"))
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
    raise ImagegenError(Problem(output.task, f"{what}: {to}", hint))


def history_lines(versions: Sequence[ImageVersion]) -> Sequence[str]:
    """Return a numbered line for each version, the newest first, below headings."""
    from imagegen.report.console import table

    rows = [["", "no.", "generated (UTC)", "seed", "backend", "prompt", ""]] if versions else []
    for number, version in enumerate(versions, start=1):
        request = version.request
        prompt = " ".join(str(request.get("prompt", "")).split())
        rows.append(
            [
                "→" if version.is_now else "",
                str(number),
                _time(version),
                str(request.get("seed", "")),
                f"{request.get('backend', '')} {request.get('model', '')}".strip(),
                prompt if len(prompt) <= _LONGEST else f"{prompt[: _LONGEST - 1]}…",
                _difference(version),
            ]
        )
    return table(rows)


def _time(version: ImageVersion) -> str:
    return version.time[:19].replace("T", " ")


def _difference(version: ImageVersion) -> str:
    values = ", ".join(str(reason).partition(" → ")[0].removesuffix(" changed") for reason in version.reasons)
    words = ["current" if version.is_now else "", "edited or accepted by hand" if version.by_hand else ""]
    words += [f"differs from now: {values}"] if values else []
    return f"({'; '.join(filter(None, words)) or 'same prompt and settings as now'})"
