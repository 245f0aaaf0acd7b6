from __future__ import annotations

import threading
from typing import Any

import pytest

from imagegen.backends.base import OverdueError
from imagegen.backends.cluster.progress import WorkerProgress
from imagegen.execute.worker import ImageProgress


class Worker:
    """What a progress needs of Dask's."""

    def log_event(self, topic: str, message: Any) -> None:
        pass


def test_an_image_whose_time_is_over_is_that_at_a_worker_as_it_is_here() -> None:
    said = []
    for progress in (WorkerProgress(Worker(), "a", -1, threading.Event()), ImageProgress(-1, threading.Event())):
        with pytest.raises(OverdueError) as caught:
            progress.check()
        said.append(caught.value.problem)
    assert said[0] == said[1]
