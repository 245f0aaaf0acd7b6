"""The readers to fuzz: each with seeds to begin with, and what must hold for every input.

A reader reads its bytes or refuses them with a problem that users understand. Any other exception is a finding, and
so is a result that breaks an assertion here.
"""

from __future__ import annotations

import contextlib
import io
import json
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from imagegen.backends.registry import registry
from imagegen.config.checking import check_item
from imagegen.config.job import Encoding
from imagegen.config.schema import job_schema
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError
from imagegen.images.encode import encode
from imagegen.images.foreign_settings import UnreadableRecord, read_comfyui_prompt, read_foreign_settings
from imagegen.images.formats import BadImage, write_png
from imagegen.images.image_file import ImageFile, read_image, verify
from imagegen.images.provenance import Provenance, inherit_provenance, read_provenance
from imagegen.plan.record import Decision, OutputLine
from imagegen.project import Project
from imagegen.prompts import SourceItem
from imagegen.prompts.csv import read_csv
from imagegen.prompts.markdown import read_markdown
from imagegen.state.lockfile import LockFile, read_lock_file
from tests.faults.portable import same_files, why_not_portable

__all__ = ["LONGEST_PROBLEM", "READERS", "Reader"]

LONGEST_PROBLEM = 4000
"""Characters of one reported problem: what a person can still read."""


@dataclass(frozen=True)
class Reader:
    """try_one: reads the bytes, and raises what is a finding. words: what its grammar is made of."""

    try_one: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    words: Callable[[], list[str]]


_TEMPORARY = tempfile.TemporaryDirectory(prefix="imagegen-fuzz-")
_FOLDER = Path(_TEMPORARY.name)
_PROJECT = Project(_FOLDER, Settings(), registry())
_PROVENANCE = Provenance({"backend": "b", "prompt": "ä\n<&>", "seed": 1, "steps": 2}, "ab" * 32, "1", True)


def _told(error: ImagegenError, where: str) -> None:
    """Located, readable, and of a length that somebody reads."""
    assert error.problems
    for problem in error.problems:
        assert problem.where.startswith(where), problem
        assert problem.what, problem
        assert len(str(problem)) <= LONGEST_PROBLEM, str(problem)[:200]


def _job(name: str) -> Callable[[bytes], None]:
    project = Project(_FOLDER / f"project-{name}", Settings(), registry())

    def try_one(data: bytes) -> None:
        (project.root / "jobs").mkdir(parents=True, exist_ok=True)
        (project.root / "jobs" / name).write_bytes(data)
        (plan,) = project.plans()
        if plan.problems:
            _told(ImagegenError(*plan.problems), "jobs/")
            assert not plan.outputs
            return
        paths = [output.path for output in plan.outputs]
        assert not [why for path in paths if (why := why_not_portable(path))], paths
        assert not same_files(paths[:200])
        assert len({output.task for output in plan.outputs}) == len(plan.outputs)
        assert project.plans() == [plan]

    return try_one


JOBS: tuple[dict[str, Any], ...] = (
    {"items": [{"name": "A", "prompt": "a raven"}]},
    {
        "description": "d",
        "backend": "placeholder",
        "generate": {"width": 64, "height": 64, "steps": 3, "cfg": 7.5, "seed": {"mode": "sequence", "base": 5}},
        "prompt": {"prefix": "oil", "suffix": "soft."},
        "items": [{"name": "Mallsing", "prompt": "{mood} {red|green}", "seed": 4, "negative": "x"}],
        "matrix": {"mood": {"calm": "a", "wild": 2}, "steps": [1, 2], "exclude": [{"mood": "calm", "steps": 1}]},
        "output": {"dir": "assets/x", "name": "{item}/{mood}-{variant}", "format": "webp", "quality": 50},
    },
    {
        "items": [{"name": "ä", "prompt": "p", "timeout_s": 9.5}, {"name": "b", "prompt": "{x|y}"}],
        "matrix": {"axis_1": ["u", 1, 2.5], "include": [{"axis_1": {"new": "text"}}]},
        "variants": 2,
        "output": {"overwrite": "never", "metadata": "none", "dir": "./a/../b/"},
        "derive": {"thumb": {"width": 5, "height": 6, "crop": "top-left", "format": "jpeg", "dir": "t"}},
        "sheet": {"name": "all", "columns": 2, "cell": 8},
        "generate": {"sampler": "euler", "scheduler": "normal", "seed": 9},
    },
    {
        "backend": "comfyui",
        "comfyui": {"checkpoint": "x.safetensors", "images": {"face": "j:a"}, "loras": [{"name": "l", "strength": 1}]},
        "items": [{"name": "A", "prompt": "a", "comfyui": {"checkpoint": "y"}}],
    },
    {
        "backend": "ollama",
        "ollama": {"model": "m:tag"},
        "items": [{"name": "A", "prompt": "a"}],
        "extends": ["_b.yaml"],
    },
)
_YAML = (
    b"# a\n---\nitems: &x\n- {name: 'A', prompt: \"b\\u00e4\"}\n-   name: B\n    prompt: |\n      one\n      two\n",
    b"\xef\xbb\xbfitems:\r\n- name: >-\r\n    folded\r\n  prompt: !!str x\r\n",
    b"generate: {steps: 012, cfg: 1e3, width: 1_0, height: 12:30, seed: 0x1F}\n",
    b"a: &a [x, x]\nb: &b [*a, *a]\nitems: [{name: no, prompt: *b}]\n? [k]\n: ~\n<<: {c: .nan}\n",
)


def _jobs_as_json() -> list[bytes]:
    return [json.dumps(job).encode() for job in JOBS]


def _jobs_as_yaml() -> list[bytes]:
    import yaml

    return [*_YAML, *(yaml.safe_dump(job, sort_keys=False, allow_unicode=True).encode() for job in JOBS)]


def _words_of_jobs() -> list[str]:
    words: set[str] = set()

    def collect(found: Any) -> None:
        if isinstance(found, dict):
            words.update(key for key in found if isinstance(key, str))
            for value in found.values():
                collect(value)
        elif isinstance(found, list):
            for value in found:
                collect(value)

    collect(job_schema(_PROJECT.backends.sections()))
    words.update(["include", "exclude", "{slug}", "{item}", "{variant}", "{a|b}", "__x__", "../", "con", "~1", "1e999"])
    words.update(["\u202e", "\u200d", "\u0345", "e\u0301", "ﬃ", "İ", "\ud7ff", "\u2028", "\x85", "\ufeff", "\x00"])
    words.update(["? ", ": ", "- ", "|\n", ">-\n", "&a ", "*a", "!!str ", "!<x>", "<<", "\\ud800", "\\x1b", "%YAML"])
    return sorted(words)


def _source(name: str, read: Callable[[str, bytes], list[SourceItem]]) -> Callable[[bytes], None]:
    def try_one(data: bytes) -> None:
        try:
            items = read(name, data)
        except ImagegenError as error:
            _told(error, name)
            return
        assert items
        sections = _PROJECT.backends.sections()
        for item in items[:20]:
            overrides = {**item.overrides, **({} if item.negative is None else {"negative": item.negative})}
            checked, problems = check_item(item.name, item.prompt, overrides, item.marks, sections)
            if problems:
                _told(ImagegenError(*problems), name)
            else:
                assert checked is not None
                assert checked.name
                assert checked.prompt

    return try_one


_MARKDOWN = (
    b'# Kins\n\ntext\n\n## Mallsing *em* `code` [l](x "t")\n\n```\na tall figure\n```\n\n```negative\nhands\n```\n',
    b"Head\n====\nTwo\n---\n~~~~ yaml\nsteps: 30\nseed: 4\n~~~~\n> ## quoted\n- ```\n  x\n  ```\n\n```\r\np\r\n```\n",
    b"## A\n<!-- html -->\n<div>\n\n[r]: http://x 'y'\n\n&amp; \\# ![i](j)\n\n    indented\n\n```text\nq\n",
)
_CSV = (
    b'name,prompt,steps,seed\nA,a raven,30,4\nB,"b, ""quoted""\nline",,\n',
    b"\xef\xbb\xbfname;prompt;cfg\r\nA; a raven ;7.5\r\n;;\r\n",
    b"name\tprompt\tnegative\t\nA\tb\tc\t\n",
)


def _lock(data: bytes) -> None:
    file = _FOLDER / "j.lock"
    file.write_bytes(data)
    try:
        lock = read_lock_file("jobs/j.lock", file)
    except ImagegenError as error:
        _told(error, "jobs/j.lock")
        return
    newest = {path: lock.line_of(path, None) for path in lock.lines}
    lock.append(Decision("seed", "of the fuzzer", 1, "2026"))
    again = _read_lock(file)
    assert again.lines == lock.lines
    assert again.decisions == lock.decisions
    lock.compact(lambda _: None, _FOLDER / "tmp")
    folded = _read_lock(file)
    assert {path: lines[0] for path, lines in folded.lines.items()} == newest
    assert folded.decisions == lock.decisions
    assert not folded.needs_compaction


def _read_lock(file: Path) -> LockFile:
    return read_lock_file("jobs/j.lock", file)


_LINE = OutputLine(
    "assets/j/a.png", "a", "f1", Encoding(), {"prompt": "ä “x”\n", "seed": 1}, "aa", 9, None, "1", 0.5, "2026-01-02"
)


def _locks() -> list[bytes]:
    file = _FOLDER / "seed.lock"
    file.unlink(missing_ok=True)
    lock = read_lock_file("seed", file)
    for entry in (
        _LINE,
        Decision("seed", "a", 77, "2026"),
        Decision("pick", "a", 2, "2026"),
        Decision("x", "", {}, ""),
    ):
        lock.append(entry)
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    return [whole, *lines, whole[:-9], b"<<<<<<< HEAD\n" + whole, whole.replace(b"\n", b"\r\n"), b"\n\n" + whole]


def _image(data: bytes) -> None:
    """As it is, and with its checksums put right, so that what lies behind them is reached."""
    for one in dict.fromkeys((data, _with_checksums(data))):
        try:
            file = read_image(one)
            for read in (read_foreign_settings, read_comfyui_prompt, read_provenance, inherit_provenance):
                with contextlib.suppress(UnreadableRecord):
                    read(file)
            file = verify(one)
        except BadImage as error:
            assert len(error.what) <= LONGEST_PROBLEM
            continue
        for record in (_PROVENANCE, None):
            written = verify(_encoded(file, record))
            assert (written.format, written.width, written.height) == (file.format, file.width, file.height)
            found = read_provenance(written)
            assert (found is None) == (record is None), found
            assert file.format != "png" or _encoded(written, record) == written.data


def _encoded(file: ImageFile, record: Provenance | None) -> bytes:
    return encode(file, Encoding(file.format, 90, "full"), record)


def _with_checksums(data: bytes) -> bytes:
    signature = write_png([])
    if not data.startswith(signature):
        return data
    parts, at = [signature], len(signature)
    while len(data) - at >= 12:
        length, kind = struct.unpack_from(">I4s", data, at)
        payload = data[at + 8 : at + 8 + length]
        parts += [struct.pack(">I", len(payload)), kind, payload, struct.pack(">I", zlib.crc32(kind + payload))]
        at += 12 + len(payload)
    return b"".join(parts)


def _saved(kind: str) -> Callable[[], list[bytes]]:
    def seeds() -> list[bytes]:
        found = []
        for mode in ("RGB", "RGBA", "L", "P", "I;16", "1"):
            image = Image.new(mode, (5, 3))
            for options in (
                {},
                {"lossless": True},
                {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"},
                {"save_all": True},
            ):
                file = io.BytesIO()
                try:
                    image.save(file, kind.upper(), **options)
                except (OSError, ValueError, KeyError):
                    continue
                found += [file.getvalue(), _encoded(read_image(file.getvalue()), _PROVENANCE)]
        return list(dict.fromkeys(found))

    return seeds


READERS: dict[str, Reader] = {
    "yaml": Reader(_job("j.yaml"), _jobs_as_yaml, _words_of_jobs),
    "json": Reader(_job("j.json"), _jobs_as_json, _words_of_jobs),
    "markdown": Reader(
        _source("p.md", read_markdown),
        lambda: list(_MARKDOWN),
        lambda: ["## ", "```", "~~~", "negative", "yaml", "===", "---", "]: "],
    ),
    "csv": Reader(_source("p.csv", read_csv), lambda: list(_CSV), lambda: ["name", "prompt", "negative", "steps", '"']),
    "lock": Reader(
        _lock, _locks, lambda: [*_LINE.__dataclass_fields__, "decision", "value", "NaN", "1e999", "\\ud800"]
    ),
    "png": Reader(_image, _saved("png"), lambda: ["IHDR", "iTXt", "zTXt", "tRNS", "PLTE", "acTL", "fdAT", "iCCP"]),
    "webp": Reader(_image, _saved("webp"), lambda: ["VP8X", "VP8L", "VP8 ", "ANMF", "ANIM", "ALPH", "EXIF", "XMP "]),
    "avif": Reader(_image, _saved("avif"), lambda: ["ftyp", "meta", "iloc", "infe", "ipma", "irot", "Exif", "mdat"]),
    "jpeg": Reader(_image, _saved("jpeg"), lambda: ["Exif\0\0", "ICC_PROFILE\0", "http://ns.adobe.com/xap/1.0/\0"]),
}
