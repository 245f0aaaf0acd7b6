"""What a client is sent of a run's progress."""

from __future__ import annotations

from typing import Any

from imagegen.agents.progress import Progress

EVENTS: list[dict[str, Any]] = [
    {"event": "run", "total": 2},
    {"event": "started", "task": "a:x"},
    {"event": "steps", "task": "a:x", "done": 5, "total": 20},
    {"event": "steps", "task": "a:x", "done": 5, "total": 20},
    {"event": "waiting", "task": "a:x", "text": "the server is busy"},
    {"event": "outcome", "task": "a:x", "state": "generated"},
    {"event": "steps", "task": "a:y", "done": 0, "total": 0},
    {"event": "outcome", "task": "a:y", "state": "failed"},
    {"event": "end"},
    {"event": "run", "total": 1},  # `doit reroll --count 2` has several
    {"event": "outcome", "task": "a:x", "state": "generated"},
]


def test_it_only_grows_and_never_passes_the_total() -> None:
    progress = Progress()
    steps = [step for event in EVENTS if (step := progress.take(event))]
    assert [step.text for step in steps] == [
        "2 images to build",
        "a:x: 5 of 20 steps",
        "the server is busy",
        "generated a:x",
        "failed a:y",
        "1 image to build",
        "generated a:x",
    ]
    done = [step.done for step in steps]
    assert done == sorted(set(done))
    assert [round(number, 3) for number in done] == [0, 0.25, 0.25, 1, 2, 2, 3]
    assert [step.total for step in steps if step.total is not None and step.total < step.done] == []
    assert [round(step.total or 0) for step in steps] == [2, 2, 2, 2, 2, 3, 3]
