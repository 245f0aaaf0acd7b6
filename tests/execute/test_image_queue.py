from __future__ import annotations

import weakref

from imagegen.execute.events import StaleOutput
from imagegen.execute.image_queue import ImageQueue
from tests.project_folder import ProjectFolder


class Key:
    """A batch key that can be looked for."""


def test_a_batch_that_is_taken_is_forgotten(folder: ProjectFolder) -> None:
    folder.job()
    project = folder.project()
    works = [StaleOutput(output, project.verdict(output)) for output in folder.outputs(project).values()]
    queue = ImageQueue(lambda _: Key())
    queue.add(works)
    known = [weakref.ref(key) for key in queue.counts(())]
    assert len(known) == 2
    for one in known:
        key = one()
        assert key is not None
        assert len(queue.take((), key)) == 1
        assert not queue or queue.counts(())
        del key
    assert not queue
    assert known[0]() is None
