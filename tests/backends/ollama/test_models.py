"""Names of models, and where their manifests lie."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from imagegen.backends.base import Cancelled
from imagegen.backends.ollama.backend import OPTIONS
from imagegen.backends.ollama.cli import ListedModel
from imagegen.backends.ollama.models import (
    _PROGRESS,
    _check_room,
    _left_by_pulls,
    _progress_line,
    canonical_name,
    check_disk_space,
    describe_pull,
    find_digest,
    manifest_path,
    models_folder,
    pull_model,
    remember_manifest,
    tagged_name,
)
from imagegen.errors import ImagegenError
from tests.backends.ollama.fake_ollama.fixture import FakeOllama
from tests.backends.ollama.fake_ollama.store import parse
from tests.backends.ollama.fake_ollama.terminal import Bar
from tests.backends.ollama.fake_ollama.terminal import size as size_in_words
from tests.backends.ollama.parts import MODEL, RecordedProgress, command_of, script

NAMES = st.from_regex(re.compile(OPTIONS["model"]["regex"]), fullmatch=True)


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("x/z-image-turbo", "x/z-image-turbo:latest"),
        ("x/flux2-klein:9b", "x/flux2-klein:9b"),
        ("llama3", "llama3:latest"),
        ("library/llama3", "llama3:latest"),
        ("registry.ollama.ai/library/llama3:8b", "llama3:8b"),
        ("registry.ollama.ai/x/z-image-turbo", "x/z-image-turbo:latest"),
        ("Registry.Ollama.AI/Library/llama3", "llama3:latest"),
        ("hf.co/library/b:Q4", "hf.co/library/b:Q4"),
        ("library/x/y", "library/x/y:latest"),
        ("host:5000/ns/name", "host:5000/ns/name:latest"),
    ],
)
def test_a_name_is_written_as_ollama_lists_it(model: str, shown: str) -> None:
    assert tagged_name(model) == shown
    assert str(parse(model)) == shown, "as the fake one does"


@pytest.mark.parametrize(
    "model",
    [
        "x/z-image-turbo",
        "x/z-image-turbo:latest",
        "registry.ollama.ai/x/z-image-turbo",
        "registry.ollama.ai/x/z-image-turbo:latest",
    ],
)
def test_one_model_has_one_plain_name(model: str) -> None:
    assert canonical_name(model) == "x/z-image-turbo"


@given(NAMES)
def test_a_name_that_was_made_plain_or_tagged_stays_so(model: str) -> None:
    assert tagged_name(tagged_name(model)) == tagged_name(model) == tagged_name(canonical_name(model))
    assert canonical_name(canonical_name(model)) == canonical_name(model) == canonical_name(tagged_name(model))


@given(NAMES)
def test_every_name_that_a_job_may_give_has_its_manifest_within_the_folder(model: str) -> None:
    path = manifest_path(model, Path("/models"))
    assert path.parts[:3] == ("/", "models", "manifests")
    assert len(path.parts) == 7
    assert not {"..", "."} & set(path.parts)


@given(NAMES)
def test_the_manifest_is_where_ollama_writes_it(model: str) -> None:
    known = parse(model)
    assume(known is not None)
    assert known is not None
    if known.host.lower() == "registry.ollama.ai":  # what everybody leaves out may be written in any case
        assume(known.host.islower() and (known.namespace.islower() or known.namespace.lower() != "library"))
    assert manifest_path(model, Path("/models")) == Path("/models/manifests") / known.path


def test_models_are_in_the_home_folder_unless_the_environment_says_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("OLLAMA_MODELS", raising=False)
    assert models_folder() == tmp_path / ".ollama/models"
    monkeypatch.setenv("OLLAMA_MODELS", ' "/big disk/models" ')
    assert models_folder() == Path("/big disk/models")
    monkeypatch.setenv("OLLAMA_MODELS", "  ")
    assert models_folder() == tmp_path / ".ollama/models"


HOST = "127.0.0.1:11434"


@pytest.fixture
def kept(fake: FakeOllama, monkeypatch: pytest.MonkeyPatch) -> FakeOllama:
    """Models on this disk, where one that this user runs keeps them."""
    monkeypatch.setenv("OLLAMA_MODELS", str(fake.models))
    return fake


def noted(root: Path, digest: str, model: str = MODEL, host: str = HOST) -> str | None:
    remember_manifest(root, host, model, ListedModel(digest[:12], "12 GB"))
    return find_digest(root, host, model)


def test_it_is_unknown_until_the_server_agrees(kept: FakeOllama, tmp_path: Path) -> None:
    digest = kept.model()
    assert find_digest(tmp_path, HOST, MODEL) is None
    assert noted(tmp_path, digest) == digest


def test_what_the_server_shows_and_this_disk_has_not_is_unknown(kept: FakeOllama, tmp_path: Path) -> None:
    kept.model()
    assert noted(tmp_path, "0" * 64) is None
    assert noted(tmp_path, "") is None, "no ID agrees with nothing"
    assert noted(tmp_path, "1" * 64, "x/elsewhere") is None


def test_it_is_known_of_this_server_alone(kept: FakeOllama, tmp_path: Path) -> None:
    digest = noted(tmp_path, kept.model())
    assert digest
    assert find_digest(tmp_path, "10.0.0.1", MODEL) is None


def test_a_disagreement_later_makes_it_unknown_again(kept: FakeOllama, tmp_path: Path) -> None:
    other = kept.model("x/other")
    assert noted(tmp_path, kept.model())
    assert noted(tmp_path, other, "x/other")
    assert noted(tmp_path, "0" * 64) is None
    assert find_digest(tmp_path, HOST, "x/other") == other


def test_another_model_under_the_name_has_another_digest_without_asking(kept: FakeOllama, tmp_path: Path) -> None:
    first = noted(tmp_path, kept.model())
    second = kept.model(revision="2")
    assert find_digest(tmp_path, HOST, MODEL) == second != first
    assert kept.calls == []


@pytest.mark.parametrize(
    "name", [MODEL, f"{MODEL}:latest", f"registry.ollama.ai/{MODEL}", f"registry.ollama.ai/{MODEL}:latest"]
)
def test_all_names_of_a_model_have_one_digest(kept: FakeOllama, tmp_path: Path, name: str) -> None:
    digest = kept.model()
    assert noted(tmp_path, digest, name) == digest == find_digest(tmp_path, HOST, MODEL)


def test_links_to_the_manifest_or_its_folders_are_followed(kept: FakeOllama, tmp_path: Path) -> None:
    digest = kept.model()
    manifest = kept.models / "manifests/registry.ollama.ai/x/z-image-turbo/latest"
    moved = tmp_path / "moved"
    manifest.rename(moved)
    manifest.symlink_to(moved)
    models = tmp_path / "models"
    kept.models.rename(models)
    kept.models.symlink_to(models)
    assert noted(tmp_path, digest) == digest


def test_a_manifest_that_goes_or_cannot_be_read_is_unknown(kept: FakeOllama, tmp_path: Path) -> None:
    assert noted(tmp_path, kept.model())
    manifest = kept.models / "manifests/registry.ollama.ai/x/z-image-turbo/latest"
    manifest.unlink()
    assert find_digest(tmp_path, HOST, MODEL) is None
    manifest.mkdir()
    assert find_digest(tmp_path, HOST, MODEL) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", '{"127.0.0.1:11434 x/z-image-turbo:latest": "a\\u0000b"}', "\udcff"]
)
def test_a_memory_that_is_broken_is_none_and_is_made_anew(kept: FakeOllama, tmp_path: Path, text: str) -> None:
    file = tmp_path / ".imagegen/cache/ollama.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert find_digest(tmp_path, HOST, MODEL) is None
    digest = kept.model()
    assert noted(tmp_path, digest) == digest


def test_a_memory_that_cannot_be_written_is_done_without(kept: FakeOllama, tmp_path: Path) -> None:
    (tmp_path / ".imagegen").write_text("a file where a folder should be")
    assert noted(tmp_path, kept.model()) is None


def test_what_is_known_already_is_not_written_again(kept: FakeOllama, tmp_path: Path) -> None:
    noted(tmp_path, kept.model())
    file = tmp_path / ".imagegen/cache/ollama.json"
    before = file.stat()
    noted(tmp_path, kept.model())
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert list(json.loads(file.read_text())) == [f"{HOST} {MODEL}:latest"]


def test_jobs_that_are_prepared_side_by_side_lose_nothing(kept: FakeOllama, tmp_path: Path) -> None:
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
    assert {model: find_digest(tmp_path, HOST, model) for model in digests} == digests


def test_ten_thousand_images_of_one_model_cost_little(kept: FakeOllama, tmp_path: Path) -> None:
    kept.model()
    manifest = kept.models / "manifests/registry.ollama.ai/x/z-image-turbo/latest"
    layers = [{"mediaType": "tensor", "digest": f"sha256:{n:064}", "name": "a" * 80} for n in range(1200)]
    manifest.write_text(json.dumps({"layers": layers}))
    digest = subprocess.run(["sha256sum", manifest], capture_output=True, text=True, check=True).stdout[:64]
    assert noted(tmp_path, digest) == digest
    began = time.process_time()
    for _ in range(10_000):
        find_digest(tmp_path, HOST, MODEL)
    assert time.process_time() - began < 1.5


def test_a_run_with_nothing_to_do_imports_nothing_that_asks(tmp_path: Path) -> None:
    code = (
        "import sys, imagegen.backends.ollama as one; from pathlib import Path; from imagegen.plan.request import Request;"
        "from imagegen.backends.base import Context; from imagegen.config.settings import Settings;"
        "backend = one.OllamaBackend();"
        f"backend.context = Context(Path({str(tmp_path)!r}), Settings(ollama_host='h'), None);"
        "backend.model_identity(Request('ollama', 'a', 'b', model='x'));"
        "print(*sorted(name.rpartition('.')[2] for name in sys.modules if name.startswith('imagegen.backends.ollama.')));"
        "print(*{'psutil', 'requests', 'filelock', 'subprocess', 'tarfile'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    message = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout
    assert message.splitlines() == ["backend models", ""]


GB = 10**9


def bar(done: int, total: int, tail: str = "", name: str = "pulling model:") -> str:
    """As Ollama shows it."""
    shown = Bar(name)
    shown.share = done / total
    shown.words = size_in_words(total) if done == total else f"{size_in_words(done):>6}/{size_in_words(total):>6}"
    return f"{shown}{tail}"


def line_of(text: str) -> str | None:
    found = _PROGRESS.search(text)
    return _progress_line("x/m", found) if found else None


@pytest.mark.parametrize(
    ("line", "reported"),
    [
        ("pulling model:  45% ▕████      ▏ 5.4 GB/ 12 GB   45 MB/s   2m10s", "45 %, 5.4 GB of 12 GB, 2m10s left"),
        ("pulling model:  45% ▕████      ▏ 5.4 GB/ 12 GB   45 MB/s   2m10spulling manifest ⠋ ", "45 %, 5.4 GB of 12 GB, 2m10s left"),
        ("pulling model:  45% ▕████      ▏ 5.4 GB/ 12 GB", "45 %, 5.4 GB of 12 GB"),
        ("pulling model:  45% ▕████      ▏ 5.4 GB/ 12 GB   success ", "45 %, 5.4 GB of 12 GB"),
        ("pulling model:   0% ▕          ▏  11 B/ 12 GB", "0 %, 11 B of 12 GB"),
        ("pulling model: 100% ▕██████████▏ 5.7 GB", "100 %, 5.7 GB"),
        ("pulling 365c0bd3c000:   3% ▕▏ 1.2 KB/980 MB  1h2m3s", "3 %, 1.2 KB of 980 MB, 1h2m3s left"),
    ],
)  # fmt: skip
def test_a_line_of_its_progress_is_told_in_ours(line: str, reported: str) -> None:
    found = line_of(line)
    assert found is not None
    assert found.rpartition("╌")[2].rpartition("━")[2] == f" {reported}"
    assert len(found) == len(f"pulling x/m {'━' * 24} {reported}")


@pytest.mark.parametrize(
    "line",
    ["", "pulling manifest ⠋ ", "writing manifest ", "success ", "pulling model:  45% ▕██▏ 5.4.1 GB/12 GB", "45% ▕▏ . GB", "45% ▕▏ 5 PB", "+Inf% ▕▏ 5 GB"],
)  # fmt: skip
def test_other_lines_are_no_progress_line(line: str) -> None:
    found = line_of(line)
    assert found is None or "45 %, 5.4" not in found


@given(st.integers(1, 10**14), st.data(), st.sampled_from(["", "   45 MB/s   2m10s", "   1.2 GB/s"]))
def test_every_bar_that_ollama_shows_is_understood(total: int, data: st.DataObject, tail: str) -> None:
    done = data.draw(st.integers(0, total))
    found = line_of(bar(done, total, tail))
    assert found is not None
    assert f" {round(done / total * 100)} %, " in found or done / total * 100 % 1 == 0.5
    assert found.count("━") + found.count("╌") == 24


@given(
    st.text()
    | st.lists(
        st.sampled_from(["5", "٣", "%", " ", "▕", "█", "▏", ".", "/", "GB", " B", " TB", "/s", "m", "s", "999"])
    ).map("".join)
)
def test_no_line_brings_it_down(line: str) -> None:
    for found in filter(None, [_PROGRESS.search(line)]):
        assert "\n" not in _progress_line("x/m", found)
        try:
            _check_room("x/m", Path("/"), found)
        except ImagegenError as error:
            assert "x/m takes about" in str(error)


def test_what_comes_is_told_before(tmp_path: Path) -> None:
    text = describe_pull(MODEL, tmp_path)
    assert text.startswith("x/z-image-turbo: about 12 GB; ")
    assert text.endswith(" of disk are free; licence: Apache-2.0")
    assert describe_pull("x/flux2-klein:9b", None) == (
        "x/flux2-klein:9b: its size is not known in advance; licence: FLUX non-commercial: not for what you sell"
    )
    assert describe_pull("somebody/else", None) == "somebody/else: its size is not known in advance"


@pytest.mark.parametrize("model", [MODEL, f"{MODEL}:latest", f"registry.ollama.ai/{MODEL}"])
def test_a_known_model_is_known_by_all_its_names(model: str) -> None:
    assert "about 12 GB" in describe_pull(model, None)


def test_a_folder_that_is_not_there_or_may_not_be_looked_at_does_no_harm(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    for folder in (tmp_path / "a/b/c", Path("/", "x" * 300, "models"), tmp_path / ("y" * 4000)):
        assert "of disk are free" in describe_pull(MODEL, folder)
        assert (check_disk_space(MODEL, folder) is None) == (free > 12 * GB)
    assert check_disk_space(MODEL, None) is None


def checked(folder: Path | None, done: int, total: int) -> str:
    found = _PROGRESS.search(bar(done, total))
    assert found
    try:
        _check_room("x/m", folder, found)
    except ImagegenError as error:
        return str(error)
    return ""


def test_a_pull_that_the_disk_does_not_take_is_stopped_when_its_size_is_known(tmp_path: Path) -> None:
    message = checked(tmp_path, 0, 900_000 * GB)
    assert message.startswith("x/m takes about 900000 GB more, and ")
    assert f"of disk are free at {tmp_path}" in message
    assert checked(None, 0, 900_000 * GB) == ""


def test_what_is_there_already_needs_no_room(tmp_path: Path) -> None:
    """A pull that goes on from where it was, and a layer that another model brought."""
    assert checked(tmp_path, 900_100 * GB, 900_900 * GB) == ""
    assert checked(tmp_path, 900_000 * GB, 900_000 * GB) == ""


@pytest.fixture
def full_disk() -> Path:
    """A place of this machine that has no room, as those of the system itself have none."""
    for place in map(Path, ("/proc", "/dev")):
        if place.is_dir() and shutil.disk_usage(place).free == 0:
            return place / "models"
    pytest.skip("no such place here")


def test_a_disk_that_is_too_small_is_told_where_the_size_is_known(full_disk: Path) -> None:
    problem = check_disk_space(MODEL, full_disk)
    assert problem
    assert problem.what == f"{MODEL} takes about 12 GB more, and 0.0 GB of disk are free at {full_disk}"
    assert "OLLAMA_MODELS" in problem.hint
    assert check_disk_space("somebody/else", full_disk) is None


def test_what_pulls_left_that_were_broken_off_is_counted_and_what_models_have_is_not(fake: FakeOllama) -> None:
    fake.model()
    assert _left_by_pulls(fake.models) == 0
    assert _left_by_pulls(fake.folder / "nowhere") == 0
    blobs = fake.models / "blobs"
    (blobs / f"sha256-{'a' * 64}").write_bytes(b"x" * 8192)
    (blobs / f"sha256-{'b' * 64}.tmp").write_bytes(b"x" * 4096)
    with (blobs / f"sha256-{'c' * 64}-partial").open("wb") as file:
        file.truncate(10**12)  # it has its size from the start, and nothing in it
    assert 12_000 <= _left_by_pulls(fake.models) <= 24_000


def test_a_pull_brings_the_model_and_tells_its_progress_line(ollama: FakeOllama) -> None:
    digest = ollama.model("x/other", pulled=False)
    assert digest == ""
    ollama.fault("pull-slow", seconds=0.15)
    messages: list[str] = []
    pull_model(command_of(ollama), "x/other", ollama.models, messages.append, lambda: None)
    assert [call.argv for call in ollama.called("pull")] == [["pull", "x/other:latest"]]
    assert len(messages) >= 2
    assert messages[-1].startswith("pulling x/other ━")
    assert messages[-1].endswith("100 %, 12 GB")
    assert all("\x1b" not in line and "▕" not in line for line in messages)
    assert "x/other:latest" in ollama.run("list").stdout


@pytest.mark.parametrize(
    ("fault", "what", "hint"),
    [
        ("pull-offline", "x/other could not be pulled: pull model manifest: Get", "check the network"),
        ("pull-disk-full", "no space left on device", "make room; it continues from there"),
    ],
)
def test_a_pull_that_fails_says_what_ollama_said(ollama: FakeOllama, fault: str, what: str, hint: str) -> None:
    ollama.model("x/other", pulled=False)
    ollama.fault(fault)
    with pytest.raises(ImagegenError) as caught:
        pull_model(command_of(ollama), "x/other", None, lambda _: None, lambda: None)
    assert what in caught.value.problems[0].what
    assert hint in caught.value.problems[0].hint


def test_a_model_that_nobody_knows_is_told(shared: FakeOllama) -> None:
    with pytest.raises(ImagegenError, match=r"Ollama knows no model x/nothing \(.*file does not exist\)"):
        pull_model(command_of(shared), "x/nothing", None, lambda _: None, lambda: None)


def test_a_pull_without_a_server_says_so(tmp_path: Path) -> None:
    command = script(
        tmp_path, "echo \"Error: could not connect to ollama server, run 'ollama serve' to start it\" >&2; exit 1"
    )
    with pytest.raises(ImagegenError, match="Ollama does not answer any more"):
        pull_model(command, MODEL, None, lambda _: None, lambda: None)


def test_a_pull_that_is_cancelled_ends_with_its_process(ollama: FakeOllama) -> None:
    ollama.model("x/other", pulled=False)
    ollama.fault("pull-slow", seconds=30)
    began = time.monotonic()

    class StopError(Exception):
        pass

    def check() -> None:
        if time.monotonic() - began > 0.5:
            raise StopError

    with pytest.raises(StopError):
        pull_model(command_of(ollama), "x/other", None, lambda _: None, check)
    assert time.monotonic() - began < 3
    assert not any(call.alive for call in ollama.called("pull"))
    assert "x/other" not in ollama.run("list").stdout


def test_a_message_that_cannot_be_told_ends_the_pull_too(ollama: FakeOllama) -> None:
    """What hears the progress may raise: the user asked to stop."""
    ollama.model("x/other", pulled=False)
    ollama.fault("pull-slow", seconds=0.5)
    reported = RecordedProgress()
    reported.cancel.set()
    with pytest.raises(Cancelled):
        pull_model(command_of(ollama), "x/other", None, lambda text: reported.event("waiting", text=text), lambda: None)
    assert not any(call.alive for call in ollama.called("pull"))
