"""Whole runs with a shared store in a folder: what one made, the other restores."""

from __future__ import annotations

import threading
from pathlib import Path

from imagegen.backends.base import GeneratedImage, Progress
from imagegen.backends.scripted import Script, ScriptedBackend
from imagegen.config.settings import Settings
from imagegen.plan.request import Request
from tests.execute.workshop import Workshop


def test_two_who_generate_the_same_at_once_both_succeed(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    barrier = threading.Barrier(2)

    class Together(ScriptedBackend):
        """Draws when both do."""

        def generate(self, request: Request, progress: Progress) -> GeneratedImage:
            barrier.wait(30)
            return super().generate(request, progress)

    third = Workshop(tmp_path / "third")
    workshops = [workshop, Workshop(tmp_path / "other"), third]
    for one in workshops:
        one.settings = Settings(store=f"file://{(tmp_path / 'team').as_posix()}")
        one.job(items=[{"name": "Mallsing", "prompt": "a tall figure"}])
    states: list[dict[str, str]] = []
    threads = []
    for one in workshops[:2]:
        one.backend = Together(Script())
        threads.append(threading.Thread(target=lambda one=one: states.append(one.build())))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states == [{"portraits:mallsing": "generated"}] * 2
    assert list((tmp_path / "team/tmp").iterdir()) == []
    assert third.build() == {"portraits:mallsing": "restored"}


def test_a_run_restores_what_another_made(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    settings = Settings(store=f"file://{(tmp_path / 'team').as_posix()}")
    workshop.settings = settings
    workshop.job()
    assert set(workshop.build().values()) == {"generated"}
    other = Workshop(tmp_path / "other")
    other.settings = settings
    other.job()
    assert set(other.build().values()) == {"restored"}
    assert other.calls() == 0
    assert other.lock() == workshop.lock()
    assert other.files() == workshop.files()


def test_what_is_forced_is_generated_and_goes_up_too(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    workshop.settings = Settings(store=f"file://{(tmp_path / 'team').as_posix()}")
    workshop.job()
    workshop.build()
    assert set(workshop.build(forced=True).values()) == {"generated"}
    assert len(list((tmp_path / "team/index").rglob("*.json"))) == 4
    assert len(list((tmp_path / "team/blobs").rglob("*.*"))) == 0  # the same pixels are one file


def test_an_image_that_the_shared_store_brings_is_encoded_and_held_to_its_model_here(
    workshop: Workshop, tmp_path: Path
) -> None:
    (tmp_path / "team").mkdir()
    settings = Settings(store=f"file://{(tmp_path / 'team').as_posix()}")
    workshop.settings = settings
    workshop.backend = type(workshop.backend)(Script(digest="d1"))
    workshop.job()
    workshop.build()
    other = Workshop(tmp_path / "other")
    other.settings = settings
    other.job(output={"format": "webp"})
    assert set(other.build().values()) == {"restored"}
    assert [path.suffix for path in (other.root / "assets/portraits").iterdir()] == [".webp"] * 2
    third = Workshop(tmp_path / "third")
    third.settings = settings
    third.backend = type(third.backend)(Script(digest="d2"))
    third.job()
    assert set(third.build().values()) == {"generated"}
