"""Which model it is: the manifest on this disk, once the server has shown that it is this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from imagegen.backends.ollama.digests import digest_of, note_agreement
from imagegen.backends.ollama.queries import Listed
from tests.backends.ollama.parts import MODEL
from tests.backends.ollama.standin.fixture import StandIn

HOST = "127.0.0.1:11434"


@pytest.fixture
def kept(standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Models on this disk, where one that this user runs keeps them."""
    monkeypatch.setenv("OLLAMA_MODELS", str(standin.models))
    return standin


def noted(root: Path, digest: str, model: str = MODEL, host: str = HOST) -> str | None:
    note_agreement(root, host, model, Listed(digest[:12], "12 GB"))
    return digest_of(root, host, model)


def test_it_is_unknown_until_the_server_agrees(kept: StandIn, tmp_path: Path) -> None:
    digest = kept.model()
    assert digest_of(tmp_path, HOST, MODEL) is None
    assert noted(tmp_path, digest) == digest


def test_what_the_server_shows_and_this_disk_has_not_is_unknown(kept: StandIn, tmp_path: Path) -> None:
    kept.model()
    assert noted(tmp_path, "0" * 64) is None
    assert noted(tmp_path, "") is None, "no ID agrees with nothing"
    assert noted(tmp_path, "1" * 64, "x/elsewhere") is None


def test_it_is_known_of_this_server_alone(kept: StandIn, tmp_path: Path) -> None:
    digest = noted(tmp_path, kept.model())
    assert digest
    assert digest_of(tmp_path, "10.0.0.1", MODEL) is None


def test_a_disagreement_later_makes_it_unknown_again(kept: StandIn, tmp_path: Path) -> None:
    other = kept.model("x/other")
    assert noted(tmp_path, kept.model())
    assert noted(tmp_path, other, "x/other")
    assert noted(tmp_path, "0" * 64) is None
    assert digest_of(tmp_path, HOST, "x/other") == other


def test_another_model_under_the_name_has_another_digest_without_asking(kept: StandIn, tmp_path: Path) -> None:
    first = noted(tmp_path, kept.model())
    second = kept.model(revision="2")
    assert digest_of(tmp_path, HOST, MODEL) == second != first
    assert kept.calls == []


@pytest.mark.parametrize(
    "name", [MODEL, f"{MODEL}:latest", f"registry.ollama.ai/{MODEL}", f"registry.ollama.ai/{MODEL}:latest"]
)
def test_all_names_of_a_model_have_one_digest(kept: StandIn, tmp_path: Path, name: str) -> None:
    digest = kept.model()
    assert noted(tmp_path, digest, name) == digest == digest_of(tmp_path, HOST, MODEL)


def test_links_to_the_manifest_or_its_folders_are_followed(kept: StandIn, tmp_path: Path) -> None:
    digest = kept.model()
    manifest = kept.models / "manifests/registry.ollama.ai/x/z-image-turbo/latest"
    moved = tmp_path / "moved"
    manifest.rename(moved)
    manifest.symlink_to(moved)
    models = tmp_path / "models"
    kept.models.rename(models)
    kept.models.symlink_to(models)
    assert noted(tmp_path, digest) == digest


def test_a_manifest_that_goes_or_cannot_be_read_is_unknown(kept: StandIn, tmp_path: Path) -> None:
    assert noted(tmp_path, kept.model())
    manifest = kept.models / "manifests/registry.ollama.ai/x/z-image-turbo/latest"
    manifest.unlink()
    assert digest_of(tmp_path, HOST, MODEL) is None
    manifest.mkdir()
    assert digest_of(tmp_path, HOST, MODEL) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", '{"127.0.0.1:11434 x/z-image-turbo:latest": "a\\u0000b"}', "\udcff"]
)
def test_a_memory_that_is_broken_is_none_and_is_made_anew(kept: StandIn, tmp_path: Path, text: str) -> None:
    file = tmp_path / ".imagegen/cache/ollama.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert digest_of(tmp_path, HOST, MODEL) is None
    digest = kept.model()
    assert noted(tmp_path, digest) == digest


def test_a_memory_that_cannot_be_written_is_done_without(kept: StandIn, tmp_path: Path) -> None:
    (tmp_path / ".imagegen").write_text("a file where a folder should be")
    assert noted(tmp_path, kept.model()) is None


def test_what_is_known_already_is_not_written_again(kept: StandIn, tmp_path: Path) -> None:
    noted(tmp_path, kept.model())
    file = tmp_path / ".imagegen/cache/ollama.json"
    before = file.stat()
    noted(tmp_path, kept.model())
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert list(json.loads(file.read_text())) == [f"{HOST} {MODEL}:latest"]


def test_jobs_that_are_prepared_side_by_side_lose_nothing(kept: StandIn, tmp_path: Path) -> None:
    digests = {f"x/m{number}": kept.model(f"x/m{number}") for number in range(16)}
    start = threading.Barrier(len(digests))

    def note(model: str) -> None:
        start.wait()
        noted(tmp_path, digests[model], model)

    threads = [threading.Thread(target=note, args=(model,)) for model in digests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {model: digest_of(tmp_path, HOST, model) for model in digests} == digests


def test_ten_thousand_images_of_one_model_cost_little(kept: StandIn, tmp_path: Path) -> None:
    kept.model()
    manifest = kept.models / "manifests/registry.ollama.ai/x/z-image-turbo/latest"
    layers = [{"mediaType": "tensor", "digest": f"sha256:{n:064}", "name": "a" * 80} for n in range(1200)]
    manifest.write_text(json.dumps({"layers": layers}))
    digest = subprocess.run(["sha256sum", manifest], capture_output=True, text=True, check=True).stdout[:64]
    assert noted(tmp_path, digest) == digest
    began = time.process_time()
    for _ in range(10_000):
        digest_of(tmp_path, HOST, MODEL)
    assert time.process_time() - began < 1.5


def test_a_run_with_nothing_to_do_imports_nothing_that_asks(tmp_path: Path) -> None:
    code = (
        "import sys, imagegen.backends.ollama as one; from pathlib import Path; from imagegen.plan.request import Request;"
        "backend = one.OllamaBackend();"
        f"backend.model_identity(Request('ollama', 'a', 'b', model='x', extra={{'root': {str(tmp_path)!r}, 'host': 'h'}}));"
        "print(*sorted(name.rpartition('.')[2] for name in sys.modules if name.startswith('imagegen.backends.ollama.')));"
        "print(*{'psutil', 'requests', 'filelock', 'subprocess', 'tarfile'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout
    assert said.splitlines() == ["backend digests names options", ""]
