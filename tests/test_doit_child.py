"""A `doit` that is followed: here one that hears no signal and breaks off in the middle of a line."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Any

from imagegen.doit_child import Child

_BREAKS_OFF = """\
import json, signal, sys, threading
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("it burns", file=sys.stderr, flush=True)
print(json.dumps({"event": "note", "text": "x" * 1_000_000}), end="\\n{", flush=True)
threading.Event().wait()
"""


def test_one_that_hears_nothing_is_killed_and_its_last_words_are_its_result(tmp_path: Path) -> None:
    (tmp_path / "dodo.py").write_text(_BREAKS_OFF)
    events: queue.SimpleQueue[Any] = queue.SimpleQueue()
    child = Child(["list"], tmp_path, events.put)
    assert len(events.get(timeout=60)["text"]) == 1_000_000, "no line is too long"
    assert [child.interrupt() for _ in range(3)][1:] == ["cancelling", "killed"]
    assert events.get(timeout=60) is None, "half a line says nothing"
    assert child.exit_code != 0
    answer = child.answer("list")
    assert (answer["command"], answer["exit_code"], answer["result"]) == ("list", 1, None)
    (problem,) = answer["problems"]
    assert problem["what"] == f"doit ended without a result (exit code {child.exit_code})"
    assert problem["hint"] == "it burns"
