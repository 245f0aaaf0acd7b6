"""What is foreseen is what the next run then does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagegen.backends.base import ModelIdentity
from imagegen.config.settings import Settings
from imagegen.execute.events import Event, Outcome
from imagegen.execute.forecast import Forecast, forecast
from imagegen.execute.run import run
from imagegen.plan.request import Request
from imagegen.project import Project
from tests.scripted import Script, ScriptedBackend

JOB: dict[str, Any] = {
    "backend": "scripted",
    "generate": {"width": 32, "height": 32},
    "items": [{"name": name, "prompt": f"a {name}"} for name in "abc"],
}
ACT = {"generated": "generate", "restored": "restore", "kept": "keep", "failed": "fail", "fresh": "fresh"}


class Folder:
    """A project that is looked at and run again and again, as by one process after another."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.script = Script()
        (root / "jobs").mkdir()
        self.job()

    def job(self, **changes: Any) -> None:
        (self.root / "jobs/j.yaml").write_text(yaml.safe_dump(JOB | changes))

    def image(self, name: str, suffix: str = ".png") -> Path:
        return self.root / f"assets/j/{name}{suffix}"

    def _project(self) -> Project:
        return Project(self.root, Settings(), {"scripted": lambda: ScriptedBackend(self.script)})

    def foresee(self) -> Forecast:
        project = self._project()
        outputs = [output for plan in project.plans() for output in plan.outputs]
        return forecast(project, [(output, project.verdict(output)) for output in outputs], ())

    def acts(self) -> dict[str, str]:
        return {one.output.slug: one.act for one in self.foresee().images}

    def run(self) -> dict[str, str]:
        project = self._project()
        became: dict[str, str] = {}

        def on_event(event: Event) -> None:
            if isinstance(event, Outcome):
                became[event.output.slug] = ACT[event.state]

        run(project, [output for plan in project.plans() for output in plan.outputs], on_event)
        return became


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def touched_up(folder: Folder) -> None:
    folder.image("a").write_bytes(b"touched up")


def touched_up_and_changed(folder: Folder) -> None:
    touched_up(folder)
    folder.job(generate={"width": 32, "height": 32, "steps": 3})


def deleted(folder: Folder) -> None:
    folder.image("a").unlink()


def deleted_with_its_blob(folder: Folder) -> None:
    deleted(folder)
    for blob in (folder.root / ".imagegen/store/blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()


def changed_and_back(folder: Folder) -> None:
    folder.job(generate={"width": 32, "height": 32, "steps": 3})
    folder.run()
    folder.job()


def another_format(folder: Folder) -> None:
    folder.job(output={"format": "webp"})


def another_model(folder: Folder) -> None:
    folder.script = Script(digest="aa" * 32)
    folder.run()
    folder.job(generate={"width": 32, "height": 32, "steps": 3})
    folder.run()
    folder.job()
    folder.script = Script(digest="bb" * 32)


def lost_lock_file(folder: Folder) -> None:
    (folder.root / "jobs/j.lock").unlink()


def lost_lock_file_and_touched_up(folder: Folder) -> None:
    lost_lock_file(folder)
    touched_up(folder)


def twins(folder: Folder) -> None:
    folder.job(items=[{"name": name, "prompt": "the same", "seed": 7} for name in "abc"])
    for name in "abc":
        folder.image(name).unlink()


def random_seeds(folder: Folder) -> None:
    folder.job(generate={"width": 32, "height": 32, "seed": {"mode": "random"}})


def without_a_store(folder: Folder) -> None:
    """Another output shows the image, as after a clone."""
    folder.job(
        items=[*JOB["items"], {"name": "d", "prompt": "a a", "seed": folder.foresee().images[0].output.request.seed}]
    )
    deleted_with_its_blob(folder)
    folder.run()
    deleted_with_its_blob(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda _: None,
        touched_up,
        touched_up_and_changed,
        deleted,
        deleted_with_its_blob,
        changed_and_back,
        another_format,
        another_model,
        lost_lock_file,
        lost_lock_file_and_touched_up,
        twins,
        random_seeds,
        without_a_store,
    ],
)
def test_the_run_does_what_was_foreseen(folder: Folder, change: Callable[[Folder], None]) -> None:
    assert set(folder.acts().values()) == {"generate"}
    assert folder.acts() == folder.run()
    change(folder)
    before = files(folder.root)
    foreseen = folder.acts()
    assert files(folder.root) == before, "it writes nothing"
    assert folder.run() == foreseen


def edited_and_kept(folder: Folder) -> None:
    touched_up_and_changed(folder)
    folder.job(generate={"width": 32, "height": 32}, output={"overwrite": "never"})


@pytest.mark.parametrize(
    ("change", "is_stale"),
    [
        (lambda _: None, False),
        (touched_up, False),
        (edited_and_kept, False),
        (touched_up_and_changed, True),
        (deleted, True),
        (another_format, True),
        (lost_lock_file_and_touched_up, True),
    ],
)
def test_stale_is_what_the_run_would_write_or_fail_at(
    folder: Folder, change: Callable[[Folder], None], is_stale: bool
) -> None:
    assert folder.foresee().is_stale
    folder.run()
    change(folder)
    assert folder.foresee().is_stale is is_stale


def files(root: Path) -> dict[Path, tuple[int, int]]:
    found = {path: path.stat() for path in root.rglob("*")}
    return {path: (stat.st_mtime_ns, stat.st_size) for path, stat in found.items()}


def test_what_a_backend_prints_does_not_stand_in_it(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    class Talks(ScriptedBackend):
        def model_identity(self, request: Request) -> ModelIdentity:
            print("loading")
            return super().model_identity(request)

    project = Project(folder.root, Settings(), {"scripted": Talks})
    outputs = [(output, project.verdict(output)) for plan in project.plans() for output in plan.outputs]
    capsys.readouterr()
    forecast(project, outputs, ())
    printed = capsys.readouterr()
    assert (printed.out, set(printed.err.split())) == ("", {"loading"})


def test_it_says_where_an_image_is_restored_from(folder: Folder) -> None:
    folder.run()
    deleted(folder)
    assert folder.foresee().images[0].origin == "the store"
    folder.run()
    without_a_store(folder)
    assert folder.foresee().images[0].origin == "assets/j/d.png"


def test_what_only_its_encoding_makes_stale_is_encoded_again(folder: Folder) -> None:
    folder.job(output={"format": "webp", "quality": 80})
    folder.run()
    folder.job(output={"format": "webp", "quality": 60})
    found = folder.foresee()
    assert [one.is_encoded_again for one in found.images] == [True] * 3
    assert [str(reason) for reason in found.images[0].verdict.reasons] == ["quality 80 → 60"]


def test_a_missing_one_says_also_what_changed_since(folder: Folder) -> None:
    folder.run()
    deleted(folder)
    folder.job(generate={"width": 32, "height": 32, "steps": 3})
    assert [str(reason) for reason in folder.foresee().images[0].verdict.reasons] == ["missing", "steps 20 → 3"]


def test_the_time_is_that_of_all_images_as_many_at_a_time_as_the_backend_takes(folder: Folder) -> None:
    assert (folder.foresee().seconds, folder.foresee().unknown) == (0, 3)
    folder.run()
    lock = folder.root / "jobs/j.lock"
    lines = [line.split('"seconds":') for line in lock.read_text().splitlines()]
    lock.write_text("".join(f'{head}"seconds":10.0,{tail.partition(",")[2]}\n' for head, tail in lines))
    other = {"name": "other", "prompt": "x", "scripted": {"model": "new"}}
    changed = [{"name": name, "prompt": f"another {name}"} for name in "abc"]
    folder.job(items=[*changed, other])
    found = folder.foresee()
    assert [one.seconds for one in found.images] == [10, 10, 10, None]
    assert (found.seconds, found.unknown) == (15, 1)  # two at a time


def test_attempts_that_cannot_be_read_keep_nothing_from_being_foreseen(folder: Folder) -> None:
    folder.script = Script(prices={"*": "0.04"})
    (folder.root / ".imagegen/attempts.jsonl").mkdir(parents=True)
    assert set(folder.acts().values()) == {"generate"}
    assert set(folder.run().values()) == {"fail"}, "the run says so"


def test_no_line_is_read_to_foresee_that_nothing_is_done(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.run()
    monkeypatch.setattr(Project, "sample_lines", lambda _: pytest.fail("every line was read"))
    monkeypatch.setattr("imagegen.execute.forecast.StoredImages", lambda _: pytest.fail("every line was read"))
    assert folder.acts() == dict.fromkeys("abc", "fresh")
