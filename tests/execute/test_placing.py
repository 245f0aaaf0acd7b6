"""A backend that makes images at several places: each image gets one, and goes to another where that is lost."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from imagegen.backends.base import GeneratedImage, Progress, ServerSlot, TryAnotherServer
from imagegen.plan.request import Request
from tests.execute.test_executor import Bench
from tests.scripted import Script, ScriptedBackend


class Desk(ServerSlot):
    """Room at a server. lost: it turns images away."""

    def __init__(self, studio: Studio, name: str) -> None:
        self.studio, self.name = studio, name

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        begun, attempt = progress.last_server, progress.begin_attempt(self.name)
        self.studio.tries.append((request.name, self.name, begun, attempt))
        if self.name in self.studio.lost:
            progress.wait(0.05)
            raise TryAnotherServer
        return self.studio.generate(request, progress)

    def release(self) -> None:
        with self.studio.mutex:
            self.studio.taken[self.name] -= 1


class Studio(ScriptedBackend):
    """With desks `left` and `right`, one image at each; the left one makes no image whose name begins with `r`."""

    def __init__(self, script: Script, *lost: str) -> None:
        super().__init__(script)
        self.lost = set(lost)
        self.taken: Counter[str] = Counter()
        self.mutex = threading.Lock()
        self.tries: list[tuple[str, str, str, str]] = []
        self.waited: list[dict[Hashable, int]] = []

    def batch_key(self, request: Request) -> Hashable:
        return "r" if request.name.startswith("r") else "any"

    def pick_server(self, waiting: Mapping[Any, int]) -> tuple[Hashable, ServerSlot] | None:
        with self.mutex:
            self.waited.append(dict(waiting))
            tried = {name for _, name, _, _ in self.tries}
            for name in ("left", "right"):
                groups = [group for group in waiting if group == "any" or name == "right"]
                if groups and not self.taken[name] and not (name in self.lost and name in tried):
                    self.taken[name] += 1
                    return groups[0], Desk(self, name)
        return None


def studio(root: Path, *items: str, lost: tuple[str, ...] = (), **script: Any) -> tuple[Bench, Studio]:
    found = Bench(root, Script(), {"j": list(items)})
    backend = Studio(Script(**{"in_flight": 4, **script}), *lost)
    found.backend = backend
    return found, backend


def test_each_image_is_made_where_it_can_be(tmp_path: Path) -> None:
    found, backend = studio(tmp_path, "a", "b", "ra", "rb", acts={"*": [{"delay_s": 0.1}]})
    assert set(found.run().values()) == {"generated"}
    assert {name for name, place, _, _ in backend.tries if place == "left"} <= {"a", "b"}
    assert sorted(name for name, *_ in backend.tries) == ["a", "b", "ra", "rb"]
    assert backend.waited[0] == {"any": 2, "r": 2}
    assert not +backend.taken


def test_an_image_whose_place_is_lost_goes_on_elsewhere_as_the_same_attempt(tmp_path: Path) -> None:
    found, backend = studio(tmp_path, "a", "b", "c", lost=("left",))
    assert found.run() == dict.fromkeys(("j:a", "j:b", "j:c"), "generated")
    ((moved, _, _, attempt),) = [one for one in backend.tries if one[1] == "left"]
    assert [one for one in backend.tries if one[0] == moved][1:] == [(moved, "right", "left", attempt)]
    assert [begun for name, _, begun, _ in backend.tries if name != moved] == ["", ""]
    found.project.attempts.compact()
    assert not (found.project.state / "attempts.jsonl").exists(), "none is under way"


def test_an_image_that_waits_for_another_place_is_given_up_when_the_user_stops(tmp_path: Path) -> None:
    found, backend = studio(tmp_path, "ra", lost=("right",))
    threading.Timer(0.5, found.stop.set).start()
    assert found.run() == {"j:ra": "cancelled"}
    assert len(backend.tries) == 1
    assert b'"place":"right"' in (found.project.state / "attempts.jsonl").read_bytes()


def test_images_of_one_fingerprint_are_made_at_one_place(tmp_path: Path) -> None:
    found, backend = studio(tmp_path, "a")
    (tmp_path / "jobs/k.yaml").write_bytes((tmp_path / "jobs/j.yaml").read_bytes())
    assert sorted(found.run().values()) == ["generated", "restored"]
    assert len(backend.tries) == 1
    assert not +backend.taken
