"""What failed when it was last tried: so that it can be told after the run. A hint, that may be deleted at any time."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from imagegen.state.atomic import replace_file

__all__ = ["Failure", "read_failures", "update_failures"]


@dataclass(frozen=True)
class Failure:
    """Why an image was not made. fingerprint: of what was asked for then. what, hint: as in a `Problem`."""

    fingerprint: str
    what: str
    hint: str = ""


def read_failures(path: Path) -> dict[str, Failure]:
    """By the task's name; none where the file is missing or cannot be read."""
    try:
        return {task: Failure(**fields) for task, fields in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def update_failures(path: Path, temporary: Path, failed: Mapping[str, Failure], settled: Collection[str]) -> None:
    """Add those that failed, drop those that are settled; the file is written where that changes it. Raises OSError."""
    known = read_failures(path)
    now = {task: failure for task, failure in known.items() if task not in settled} | dict(failed)
    if now == known:
        return
    if not now:
        path.unlink(missing_ok=True)
        return
    text = json.dumps({task: asdict(failure) for task, failure in sorted(now.items())}, ensure_ascii=False)
    replace_file(path, text.encode("utf-8", "backslashreplace"), temporary)  # as JSON has it
