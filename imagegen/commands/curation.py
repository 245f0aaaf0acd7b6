"""`doit pick`, `doit reroll`, `doit restore`, `doit accept`: deciding which image it shall be."""

from __future__ import annotations

import contextlib
import shlex
from typing import TYPE_CHECKING, Any

from doit.exceptions import TaskFailed

from imagegen.commands.acting import command, demand, tell_note, told, writing
from imagegen.commands.build import Build, choose, chosen
from imagegen.commands.command import YES, define, option
from imagegen.errors import ImagegenError, Problem

if TYPE_CHECKING:
    from imagegen.execute.events import Event
    from imagegen.plan.output import Output

__all__ = [
    "task_accept",
    "task_pick",
    "task_reroll",
    "task_restore",
]


_PICK = define(
    "pick",
    "Choose one variant as an item's image; 0 makes all of them images again.",
    {
        "doit pick portraits:mallsing --variant 3": "variant 3 is the image",
        "doit pick portraits:mallsing-v3": "the same",
        "doit pick portraits:mallsing --variant 0": "all variants are images again",
    },
    [option("variant", int, None, "which one it is; 0: none, all of them are images again")],
    words="IMAGE",
)
_REROLL = define(
    "reroll",
    "Regenerate images with a new seed.",
    {
        "doit reroll portraits:mallsing": "another seed for this image",
        "doit reroll portraits": "for all of a job (asks)",
    },
    [YES],
    words="IMAGE|JOB...",
)
_RESTORE = define(
    "restore",
    "Go back to an earlier version of an image (--list shows them).",
    {
        "doit restore portraits:mallsing --list": "what there is to go back to",
        "doit restore portraits:mallsing": "the one before",
        "doit restore portraits:mallsing --to 3": "number 3 of the list",
    },
    [
        option("to", int, None, "the number of the one to go back to, from --list [default: the one before]"),
        option("list", bool, False, "only show what there is to go back to", "l"),
    ],
    words="IMAGE",
)
_ACCEPT = define(
    "accept",
    "Keep the current file (a hand-edited one, say) as the image until its prompt or settings change.",
    {"doit accept portraits:mallsing": "this file", "doit accept portraits": "all files of a job"},
    words="IMAGE|JOB...",
)


def task_pick() -> dict[str, Any]:
    """The command `pick`."""
    return command(_PICK, _pick)


def task_reroll() -> dict[str, Any]:
    """The command `reroll`."""
    return command(_REROLL, _reroll)


def task_restore() -> dict[str, Any]:
    """The command `restore`."""
    return command(_RESTORE, _restore)


def task_accept() -> dict[str, Any]:
    """The command `accept`."""
    return command(_ACCEPT, _accept)


def _pick(words: list[str], variant: int | None) -> TaskFailed | None:
    def work(build: Build) -> None:
        from imagegen.execute.pick import pick
        from imagegen.execute.prune import refresh_derived
        from imagegen.report.curation import picked_lines

        _variant(build, words, variant)  # a mistake is told before anybody is waited for
        with writing(build):
            job, base, number = _variant(build, words, variant)
            picked = pick(build.project, job, base, number)
            image = build.project.with_origins(picked.outputs[0])
            print("\n".join(picked_lines(picked, build.project.verdict(image))), flush=True)
            derived = refresh_derived(build.project, picked)
        _make(build, derived)

    return told(work)


def _variant(build: Build, names: list[str], variant: int | None) -> tuple[str, str, int]:
    """The job, the slug without variant, and the variant that are meant: `portraits:mallsing-v3` says it all."""
    if len(names) != 1:
        what = "say which image: doit pick portraits:mallsing --variant 3"
        raise ImagegenError(Problem("", what, "doit help pick says more"))
    item, _, told = names[0].rpartition("-v")
    if variant is None and told.isdigit() and names[0] not in build.planned and item in build.items:
        names, variant = [item], int(told)  # it waits as a candidate
    outputs = [planned.output for planned in chosen(build, names)]
    if len(outputs) == 1 and outputs[0].is_derived:
        image = outputs[0].origins[0].task
        what = f"it is derived from {image}, and has no variants of its own"
        raise ImagegenError(Problem(names[0], what, f"doit pick {image} --variant N"))
    outputs = [output for output in outputs if not output.is_derived]
    if len({output.base for output in outputs}) != 1 or names[0] in (plan.task for plan in build.plans):
        raise ImagegenError(Problem(names[0], "that is more than one item", "name one: doit pick portraits:mallsing …"))
    first = outputs[0]
    if names[0] == first.task and first.variant and first.slug == first.full_slug:
        if variant not in (None, first.variant):
            what = f"names variant {first.variant}, and --variant {variant} another one"
            raise ImagegenError(Problem(names[0], what, f"doit pick {first.job}:{first.base} --variant {variant}"))
        variant = first.variant
    if variant is None:
        known = ", ".join(str(output.variant) for output in outputs)
        now = f"{known} is picked now" if len(outputs) == 1 else f"there are {known}"
        what = "say which variant" if first.variant else "it has no variants to pick from"
        hint = f"doit pick {first.job}:{first.base} --variant N ({now}; 0: all are images again)"
        raise ImagegenError(
            Problem(f"{first.job}:{first.base}", what, hint if first.variant else "variants: 4 in the job")
        )
    return first.job, first.base, variant


def _reroll(words: list[str], yes: bool) -> TaskFailed | None:
    def work(build: Build) -> None:
        from imagegen.execute.curation import reroll

        if not words:
            raise ImagegenError(Problem("", "say which image: doit reroll portraits:mallsing"))
        if not yes:
            _ask_for_many(build, words, _to_reroll(build, words))
        with writing(build):
            drawn = reroll(build.project, _to_reroll(build, words))
        _make(build, [*_stale_origins(build, drawn), *drawn])

    return told(work)


def _to_reroll(build: Build, words: list[str]) -> list[Output]:
    named = choose(build, words).one_by_one
    return [
        build.project.decided(planned.output)
        for planned in chosen(build, words)
        if planned.output.task in named or not planned.output.is_derived  # they follow
    ]


def _ask_for_many(build: Build, words: list[str], outputs: list[Output]) -> None:
    """Ask first where a job or a pattern stands for more than one image. Raises ImagegenError where nobody agrees."""
    from imagegen.execute.forecast import estimate
    from imagegen.plan.record import total_seconds
    from imagegen.report.console import duration

    each = choose(build, words).one_by_one.union(*(build.items.get(word, []) for word in words))
    if sum(output.task not in each for output in outputs) > 1:
        times = estimate(build.project, outputs).values()
        seconds = None if any(one.seconds is None for one in times) else total_seconds(times)
        print(f"{len(outputs)} images get another seed and are generated again ({duration(seconds)})", flush=True)
        demand("Reroll all of them?", "nothing is rerolled", f"doit reroll {shlex.join(words)} --yes")


def _stale_origins(build: Build, outputs: list[Output]) -> list[Output]:
    """What these are made from, and that is not fresh: doit would make it first, too."""
    found: dict[str, Output] = {}
    waiting = [origin.task for output in outputs for origin in output.origins]
    while waiting:
        planned = build.planned.get(waiting.pop())
        if planned is None:  # its job is broken
            continue
        if planned.output.task not in found and planned.verdict.state not in ("fresh", "kept"):
            found[planned.output.task] = build.project.decided(planned.output)
        waiting += [origin.task for origin in planned.output.origins]
    named = {output.task for output in outputs}
    return [output for task, output in found.items() if task not in named]


def _make(build: Build, outputs: list[Output]) -> None:
    """Make them now. Raises ImagegenError with what kept any of them from being made."""
    from imagegen.execute.events import Outcome
    from imagegen.execute.run import SelectedOutput, run
    from imagegen.report.console import failures, outcome_line
    from imagegen.report.curation import reroll_failed_line

    outcomes: list[Outcome] = []

    def tell(event: Event) -> None:
        tell_note(event)
        if isinstance(event, Outcome):
            outcomes.append(event)
            seed = event.output.request.seed
            print(outcome_line(event) + (f"  seed {seed}" if seed is not None else ""), flush=True)

    ending = run(build.project, [SelectedOutput(output) for output in outputs], tell)
    unmade = [outcome.output for outcome in outcomes if outcome.state in ("failed", "cancelled")]
    if failed := failures(outcomes):
        print("\n".join(failed))
    for problem in ending.problems:
        print(problem)
    if rerolled := [output for output in unmade if not output.is_derived]:
        print(reroll_failed_line(rerolled), flush=True)
    if ending.stopped:
        raise SystemExit(130)
    if unmade:
        raise ImagegenError


def _send(build: Build) -> None:
    """What was accepted goes up to the shared store, where there is one: others may need it before the next build."""
    if build.project.has_pending:
        from imagegen.execute.run import run

        run(build.project, [], tell_note)


def _restore(words: list[str], **options: Any) -> TaskFailed | None:
    def work(build: Build) -> None:
        from imagegen.execute.curation import list_versions, previous_version, restore
        from imagegen.report.curation import history_lines, restored_line

        _one(build, words)
        with contextlib.nullcontext() if options["list"] else writing(build):
            output = build.project.with_origins(build.project.decided(_one(build, words)))
            pasts = list_versions(build.project, output)
            print("\n".join(history_lines(pasts)))
            if options["list"]:
                return
            is_fresh = build.project.verdict(output).state != "stale"
            at = previous_version(pasts, is_fresh=is_fresh) if options["to"] is None else options["to"] - 1
            if at is None:
                hint = "--to N takes a later one" if pasts else f"doit {output.task} makes its first one"
                raise ImagegenError(Problem(output.task, "there is no earlier image to go back to", hint))
            if not 0 <= at < len(pasts):
                raise ImagegenError(Problem(output.task, f"there is no number {at + 1}", "the list has the numbers"))
            if pasts[at].is_now and is_fresh:
                print(f"{output.task} has number {at + 1} already")
                return
            stays = restore(build.project, output, pasts[at])
            print(restored_line(output, pasts[at], stays), flush=True)
        _send(build)

    return told(work)


def _one(build: Build, names: list[str]) -> Output:
    """The image that is named. Raises ImagegenError where that is none, or more than one."""
    planned = chosen(build, names) if names else []
    if len(planned) != 1:
        what = "name one image" if not planned else f"that is {len(planned)} images"
        raise ImagegenError(Problem(" ".join(names), what, "for example: doit restore portraits:mallsing"))
    return planned[0].output


def _accept(words: list[str]) -> TaskFailed | None:
    def work(build: Build) -> None:
        from imagegen.execute.curation import accept
        from imagegen.report.curation import accepted_lines

        if not words:
            raise ImagegenError(Problem("", "say what to accept: doit accept portraits:mallsing, or a whole job"))
        chosen(build, words)
        problems: list[Problem] = []
        found = []
        with writing(build):
            planned = chosen(build, words)
            for one in planned:
                try:
                    found.append(accept(build.project, build.project.decided(one.output)))
                except ImagegenError as error:
                    problems += error.problems
        if len(planned) == 1 and found and found[0].state == "missing":
            output = found[0].output
            problems.append(
                Problem(output.task, f"there is no {output.path} to accept", f"doit {output.task} makes it")
            )
        elif found:
            print("\n".join(accepted_lines(found)), flush=True)
        _send(build)
        if problems:
            raise ImagegenError(*problems)

    return told(work)
