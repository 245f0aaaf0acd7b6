from __future__ import annotations

import hashlib
from pathlib import Path

from imagegen.config.settings import Settings
from imagegen.execute.attended import Attended
from imagegen.execute.outcome import Event, Happened
from imagegen.execute.pushing import push
from imagegen.state.store import StoreEntry
from tests.execute.workshop import Workshop, picture


def test_all_that_was_made_before_there_was_a_store_goes_up_when_it_is_pushed(
    workshop: Workshop, tmp_path: Path
) -> None:
    workshop.job()
    workshop.build()
    store = workshop.project().store
    for name, backend in (("portraits:okka", "placeholder"), ("image:raven", "scripted")):  # which are not shared
        store.add(
            StoreEntry("f" * 64, store.put(picture()), None, "1", 2.0, "", name=name, request={"backend": backend})
        )
    accepted = workshop.touch_up("yrr", "blue")
    workshop.accept("portraits:yrr")
    address = f"file://{(tmp_path / 'team').as_posix()}"
    workshop.settings = Settings(store=address)

    def pushed() -> tuple[int, int, list[str]]:
        project = workshop.project()
        told: list[Event] = []
        attended = Attended(told.append)
        count, sharing = push(project, project.plans(), attended)
        attended.do(sharing.close)
        return count, sharing.unsent, [str(event.facts["text"]) for event in told if isinstance(event, Happened)]

    assert pushed()[:2] == (3, 3)  # it is not there yet
    (tmp_path / "team").mkdir()
    assert pushed() == (3, 0, [f"3 images that waited here went up to the shared store {address}"])
    there = {path: path.stat().st_mtime_ns for path in (tmp_path / "team").rglob("*") if path.is_file()}
    assert len([path for path in there if path.parent.parent.name == "index"]) == 2
    sha256 = hashlib.sha256(accepted).hexdigest()
    assert (tmp_path / f"team/blobs/{sha256[:2]}/{sha256}").read_bytes() == accepted
    assert pushed()[:2] == (3, 0)  # again: nothing is written twice
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "team").rglob("*") if path.is_file()} == there
    for blob in (path for path in there if path.parent.parent.name == "blobs"):
        blob.unlink()  # somebody made room
    assert pushed() == (3, 0, [f"3 images that waited here went up to the shared store {address}"])
    assert {path for path in (tmp_path / "team").rglob("*") if path.is_file()} == there.keys()
