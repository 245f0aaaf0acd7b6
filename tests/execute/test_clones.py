"""What a clone does with its lock files, where its images come from a shared store."""

from __future__ import annotations

from pathlib import Path

from imagegen.config.settings import Settings
from tests.execute.workshop import Workshop


def test_another_image_than_the_lock_file_tells_of_is_said_to_be_one(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    address = f"file://{(tmp_path / 'team').as_posix()}"
    workshop.settings = Settings(store=address)
    workshop.job()
    workshop.build()
    workshop.settings = Settings(store=address, store_writes=False)
    workshop.build("portraits:yrr", forced=True)
    other = workshop.clone(tmp_path / "other")
    other.build()
    assert other.said == {
        "portraits:mallsing": "from the shared store",
        "portraits:yrr": "from the shared store, a different one than the lock file records",
    }


def test_the_line_of_a_derived_file_that_a_clone_makes_anew_stays_as_it_is(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    workshop.settings = Settings(store=f"file://{(tmp_path / 'team').as_posix()}")
    workshop.job(derive={"thumb": {"width": 16}}, sheet={"cell": 16})
    workshop.build()
    other = workshop.clone(tmp_path / "other")
    assert sorted(set(other.build().values())) == ["derived", "restored"]
    assert other.lock() == workshop.lock()
    for path in (other.root / "assets").rglob("*"):
        if path.is_file():
            path.unlink()
    assert set(other.build().values()) == {"restored"}
    assert other.lock() == workshop.lock()
