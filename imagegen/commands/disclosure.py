"""`doit disclosure`: state which images were generated, by which models, and which were touched by hand."""

from __future__ import annotations

from imagegen.commands.build import Build
from imagegen.commands.command import Answer, command, option
from imagegen.errors import ImagegenError, InputError, Problem, not_written

__all__ = ["disclosure"]

_FORMATS = ("markdown", "json", "csv")


@command(
    "disclosure",
    "State which images were generated, by which models, and which were changed by hand.",
    {
        "doit disclosure": "prints it as Markdown, with texts for Steam and the EU's AI Act",
        "doit disclosure portraits --out=AI.md": "of one job, into a file",
        "doit disclosure --format=csv --out=ai.csv": "a row for each image",
    },
    [
        option("format", str, "markdown", "what is written", choices=_FORMATS),
        option("out", str, "", "the file to write, relative to the project [default: print it]"),
    ],
    words="[JOB...]",
    needs_jobs=False,
    result="imagegen.report.results.disclosure:DisclosedImages",
)
def disclosure(build: Build, words: list[str], *, format: str, out: str) -> Answer:  # noqa: A002 - as its option is called
    """Print or write it."""
    from imagegen.execute.disclosure import disclose, find_licence
    from imagegen.execute.disclosure_records import read_records
    from imagegen.report.disclosure import to_csv, to_json
    from imagegen.report.disclosure_page import to_markdown
    from imagegen.report.disclosure_statement import make_statement
    from imagegen.report.results.disclosure import DisclosedImages

    project = build.project

    def is_generator(name: str) -> bool:
        try:
            return project.backends[name].is_generator
        except ImagegenError:  # it is not installed any more: then it counts as one
            return True

    records, jobs = read_records(project, words)
    found = disclose(records, find_licence(build.settings.models), is_generator, jobs)
    text = {"markdown": to_markdown, "json": to_json, "csv": to_csv}[format](found)
    if not out:
        return Answer(DisclosedImages(make_statement(found), None, is_written=False), [text.removesuffix("\n")])
    is_written = _write(build, out, text, format)
    result = DisclosedImages(make_statement(found), out, is_written=is_written)
    return Answer(result, [f"{out}: {'written' if is_written else 'up to date'}"])


def _write(build: Build, out: str, text: str, kind: str) -> bool:
    """Write the file unless it is like that already; return whether it was written.

    Raises ImagegenError if it must not be written.
    """
    from imagegen.config.job_files import JOB_SUFFIXES
    from imagegen.state.atomic import find_target, rewrite_file

    path = find_target(build.root, out, out)
    if path.suffix in JOB_SUFFIXES and path.parent.resolve() == (build.root / "jobs").resolve():
        raise InputError(Problem(out, "would be read as a job", "choose another path"))
    data = text.encode("utf-8-sig" if kind == "csv" else "utf-8")  # without the mark, Excel takes it for another code
    try:
        there = path.read_bytes() if path.exists() else b""
        if there == data:
            return False
        if there and not there.startswith(data[:_OURS]):
            raise InputError(Problem(out, "was not written by doit disclosure", "move it, or choose another --out"))
        rewrite_file(path, data, build.project.temporary)
    except OSError as error:
        raise ImagegenError(not_written(error, path=out)) from None
    return True


_OURS = 24
"""Bytes that each format begins with, whatever is in it."""
