"""Its rows of `doit doctor`."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from imagegen.backends.base import Context, Diagnosis
from imagegen.backends.managed_server import this_process
from imagegen.backends.sd import SdBackend
from imagegen.backends.sd.known_models import KNOWN_MODELS
from imagegen.backends.sd.server_log import LOG
from imagegen.config.settings import Settings
from imagegen.plan.request import Request
from tests.backends.sd.fake_sd_server.fixture import FakeSd
from tests.backends.sd.model_files import truncate, write_model

MODEL = "tiny.safetensors"


@pytest.fixture
def root(tmp_path: Path, fake: FakeSd) -> Path:
    """A project with a program and a checkpoint."""
    folder = tmp_path / "project/tools/sd"
    folder.mkdir(parents=True)
    shutil.copy(fake.program, folder)
    (folder / ".imagegen.json").write_text(json.dumps({"build": "master-929-3f8527a", "device": "vulkan"}))
    write_model(tmp_path / "project/tools/models/checkpoints" / MODEL)
    return tmp_path / "project"


def backend_at(root: Path, settings: Settings) -> SdBackend:
    backend = SdBackend()
    backend.context = Context(root, settings, lambda path: (root / path).read_bytes())
    return backend


def rows(root: Path, *models: str, width: int = 64, **settings: str) -> Sequence[Diagnosis]:
    """The rows for a request of each model, as jobs that name it have them."""
    backend = backend_at(root, replace(Settings(), **settings))  # type: ignore[arg-type]
    requests = []
    for model in models or (MODEL,):
        resolved = backend.resolve({"model": model} if model else {})
        requests.append(
            Request("sd", "Yrr", "a figure", width=width, height=64, model=resolved.model or "", extra=resolved.extra)
        )
    return backend.diagnose(requests)


def found(rows: Sequence[Diagnosis]) -> dict[str, str]:
    return {
        row.what: f"{'' if row.ok else 'NOT OK: '}{row.found}{f' -> {row.hint}' if row.hint else ''}" for row in rows
    }


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (
            "vulkan",
            "built for vulkan, but the last server found no GPU and used the CPU, which is slow"
            " -> install or update the GPU's driver; the next run tries it again",
        ),
        ("cpu", "built for cpu"),
    ],
)
def test_a_program_for_a_gpu_whose_last_server_found_none(root: Path, device: str, expected: str) -> None:
    (root / "tools/sd/.imagegen.json").write_text(json.dumps({"build": "b", "device": device}))
    assert found(rows(root))["device"] == f"built for {device}"
    (root / LOG).parent.mkdir(parents=True)
    (root / LOG).write_text("[INFO ] ggml_extend.hpp:63   - ggml_vulkan: No devices found.\n", "utf-8")
    assert found(rows(root))["device"] == expected


def test_a_row_for_each_thing_that_an_image_takes(root: Path) -> None:
    reported = found(rows(root))
    assert list(reported) == ["program", "device", "memory", f"model {MODEL}", "server", "its jobs"]
    assert reported["program"] == "tools/sd/sd-server, build master-929-3f8527a"
    assert "vulkan" in reported["device"]
    digest = hashlib.sha256((root / "tools/models/checkpoints" / MODEL).read_bytes()).hexdigest()
    assert reported[f"model {MODEL}"] == f"3 KB, digest {digest[:12]}"
    assert reported["server"].startswith("none runs")
    assert reported["its jobs"] == "preflight finds nothing wrong"


def test_it_starts_nothing(root: Path) -> None:
    rows(root)
    assert not (root / ".imagegen/sd").exists()


def test_without_the_program_the_hint_is_to_set_it_up(root: Path) -> None:
    (root / "tools/sd/sd-server").unlink()
    wrong = [row for row in rows(root) if not row.ok]
    assert [(row.what, row.hint, row.blocks) for row in wrong] == [("program", "doit sd:setup", True)]


def test_a_missing_model_is_named_once_with_the_way_to_get_it(root: Path) -> None:
    known = next(name for name, model in KNOWN_MODELS.items() if len(model.parts) > 1)
    wrong = [row for row in rows(root, known, "lost.safetensors") if not row.ok]
    files = KNOWN_MODELS[known].parts
    assert [row.what for row in wrong] == [*[f"model {known}"] * len(files), "model lost.safetensors"]
    assert {row.hint for row in wrong[:-1]} == {f"doit sd:setup --model={known}"}
    assert wrong[-1].found.startswith("sd.model: there is no file lost.safetensors")


def test_what_is_wrong_with_a_file_or_a_request_is_a_row_too(root: Path) -> None:
    truncate(root / "tools/models/checkpoints" / MODEL)
    (wrong,) = [row for row in rows(root) if not row.ok]
    assert wrong.what == f"model {MODEL}"
    write_model(root / "tools/models/checkpoints" / MODEL)
    (wrong,) = [row for row in rows(root, width=70) if not row.ok]
    assert (wrong.what, wrong.found) == ("its jobs", "width 70: this model takes multiples of 64")


def test_a_job_that_names_no_model_takes_the_only_one(root: Path) -> None:
    assert f"{MODEL} will be used" in found(rows(root, ""))["model left open"]
    write_model(root / "tools/models/checkpoints/other.safetensors")
    assert found(rows(root, ""))["model left open"].startswith(f"NOT OK: there are 2: other.safetensors, {MODEL}")


def test_a_server_of_the_users_own_that_is_silent_is_named(root: Path) -> None:
    url = "http://127.0.0.1:9"
    reported = found(rows(root, sd_server_url=url))
    assert list(reported) == [f"server {url}"], "and neither program nor model is looked for"
    assert reported[f"server {url}"].startswith("NOT OK: does not answer: ")


def test_a_server_of_the_users_own_says_which_model_it_has(root: Path, fake: FakeSd) -> None:
    model = root / "tools/models/checkpoints" / MODEL
    url = fake.start("-m", str(model))
    assert found(rows(root, sd_server_url=url))[f"server {url}"].startswith(f"serves {model}")


@pytest.fixture
def process() -> Iterator[psutil.Process]:
    running = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield psutil.Process(running.pid)
    running.kill()
    running.wait()


@pytest.mark.parametrize(("is_killed", "says"), [(True, "left by a killed run"), (False, "a doit that is running")])
def test_a_server_that_runs_is_named_with_its_process(
    root: Path, process: psutil.Process, is_killed: bool, says: str
) -> None:
    owner = {"pid": 2**22 + 1, "started": 1.0} if is_killed else vars(this_process())
    server = {"pid": process.pid, "started": process.create_time()}
    record = {"process": server, "url": "http://127.0.0.1:40001", "by": "run", "owner": owner}
    (root / ".imagegen/sd").mkdir(parents=True)
    (root / ".imagegen/sd/server.json").write_text(json.dumps(record))
    said = found(rows(root))["server"]
    assert f"process {process.pid} at http://127.0.0.1:40001" in said
    assert says in said
