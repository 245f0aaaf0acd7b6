"""Pulling a model: what is known first, the progress, and what goes wrong."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.backends.base import Cancelled
from imagegen.backends.ollama.pull import _PROGRESS, _left_by_pulls, _progress, _Room, announcement, lacks_room, pull
from imagegen.errors import ImagegenError
from tests.backends.ollama.parts import MODEL, Told, command_of, script
from tests.backends.ollama.standin.fixture import StandIn
from tests.backends.ollama.standin.formats import size as size_in_words
from tests.backends.ollama.standin.terminal import Bar

GB = 10**9


def bar(done: int, total: int, tail: str = "", name: str = "pulling model:") -> str:
    """As Ollama shows it."""
    shown = Bar(name)
    shown.share = done / total
    shown.words = size_in_words(total) if done == total else f"{size_in_words(done):>6}/{size_in_words(total):>6}"
    return f"{shown}{tail}"


def line_of(text: str) -> str | None:
    found = _PROGRESS.search(text)
    return _progress("x/m", found) if found else None


@pytest.mark.parametrize(
    ("line", "told"),
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
def test_a_line_of_its_progress_is_told_in_ours(line: str, told: str) -> None:
    found = line_of(line)
    assert found is not None
    assert found.rpartition("╌")[2].rpartition("━")[2] == f" {told}"
    assert len(found) == len(f"pulling x/m {'━' * 24} {told}")


@pytest.mark.parametrize(
    "line",
    ["", "pulling manifest ⠋ ", "writing manifest ", "success ", "pulling model:  45% ▕██▏ 5.4.1 GB/12 GB", "45% ▕▏ . GB", "45% ▕▏ 5 PB", "+Inf% ▕▏ 5 GB"],
)  # fmt: skip
def test_other_lines_are_no_progress(line: str) -> None:
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
    room = _Room("x/m", Path("/"))
    for found in filter(None, [_PROGRESS.search(line)]):
        assert "\n" not in _progress("x/m", found)
        try:
            room.check(found)
        except ImagegenError as error:
            assert "x/m takes about" in str(error)


def test_what_comes_is_told_before(tmp_path: Path) -> None:
    text = announcement(MODEL, tmp_path)
    assert text.startswith("x/z-image-turbo: about 12 GB; ")
    assert text.endswith(" of disk are free; licence: Apache-2.0")
    assert announcement("x/flux2-klein:9b", None) == (
        "x/flux2-klein:9b: its size is not known before it comes; licence: FLUX non-commercial: not for what you sell"
    )
    assert announcement("somebody/else", None) == "somebody/else: its size is not known before it comes"


@pytest.mark.parametrize("model", [MODEL, f"{MODEL}:latest", f"registry.ollama.ai/{MODEL}"])
def test_a_known_model_is_known_by_all_its_names(model: str) -> None:
    assert "about 12 GB" in announcement(model, None)


def test_a_folder_that_is_not_there_or_may_not_be_looked_at_does_no_harm(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    for folder in (tmp_path / "a/b/c", Path("/", "x" * 300, "models"), tmp_path / ("y" * 4000)):
        assert "of disk are free" in announcement(MODEL, folder)
        assert (lacks_room(MODEL, folder) is None) == (free > 12 * GB)
    assert lacks_room(MODEL, None) is None


def checked(room: _Room, done: int, total: int) -> str:
    found = _PROGRESS.search(bar(done, total))
    assert found
    try:
        room.check(found)
    except ImagegenError as error:
        return str(error)
    return ""


def test_a_pull_that_the_disk_does_not_take_is_stopped_when_its_size_is_known(tmp_path: Path) -> None:
    said = checked(_Room("x/m", tmp_path), 0, 900_000 * GB)
    assert said.startswith("x/m takes about 900000 GB more, and ")
    assert f"of disk are free at {tmp_path}" in said
    assert checked(_Room("x/m", None), 0, 900_000 * GB) == ""


def test_what_is_there_already_needs_no_room(tmp_path: Path) -> None:
    """A pull that goes on from where it was, and a layer that another model brought."""
    assert checked(_Room("x/m", tmp_path), 900_100 * GB, 900_900 * GB) == ""
    assert checked(_Room("x/m", tmp_path), 900_000 * GB, 900_000 * GB) == ""


@pytest.fixture
def full_disk() -> Path:
    """A place of this machine that has no room, as those of the system itself have none."""
    for place in map(Path, ("/proc", "/dev")):
        if place.is_dir() and shutil.disk_usage(place).free == 0:
            return place / "models"
    pytest.skip("no such place here")


def test_a_disk_that_is_too_small_is_told_where_the_size_is_known(full_disk: Path) -> None:
    problem = lacks_room(MODEL, full_disk)
    assert problem
    assert problem.what == f"{MODEL} takes about 12 GB more, and 0.0 GB of disk are free at {full_disk}"
    assert "OLLAMA_MODELS" in problem.hint
    assert lacks_room("somebody/else", full_disk) is None


def test_what_pulls_left_that_were_broken_off_is_counted_and_what_models_have_is_not(standin: StandIn) -> None:
    standin.model()
    assert _left_by_pulls(standin.models) == 0
    assert _left_by_pulls(standin.folder / "nowhere") == 0
    blobs = standin.models / "blobs"
    (blobs / f"sha256-{'a' * 64}").write_bytes(b"x" * 8192)
    (blobs / f"sha256-{'b' * 64}.tmp").write_bytes(b"x" * 4096)
    with (blobs / f"sha256-{'c' * 64}-partial").open("wb") as file:
        file.truncate(10**12)  # it has its size from the start, and nothing in it
    assert 12_000 <= _left_by_pulls(standin.models) <= 24_000


def test_a_pull_brings_the_model_and_tells_its_progress(ollama: StandIn) -> None:
    digest = ollama.model("x/other", pulled=False)
    assert digest == ""
    ollama.fault("pull-slow", seconds=0.15)
    said: list[str] = []
    pull(command_of(ollama), "x/other", ollama.models, said.append, lambda: None)
    assert [call.argv for call in ollama.called("pull")] == [["pull", "x/other:latest"]]
    assert len(said) >= 2
    assert said[-1].startswith("pulling x/other ━")
    assert said[-1].endswith("100 %, 12 GB")
    assert all("\x1b" not in line and "▕" not in line for line in said)
    assert "x/other:latest" in ollama.run("list").stdout


@pytest.mark.parametrize(
    ("fault", "what", "hint"),
    [
        ("pull-offline", "x/other could not be pulled: pull model manifest: Get", "check the network"),
        ("pull-disk-full", "no space left on device", "make room; it goes on from there"),
    ],
)
def test_a_pull_that_fails_says_what_ollama_said(ollama: StandIn, fault: str, what: str, hint: str) -> None:
    ollama.model("x/other", pulled=False)
    ollama.fault(fault)
    with pytest.raises(ImagegenError) as caught:
        pull(command_of(ollama), "x/other", None, lambda _: None, lambda: None)
    assert what in caught.value.problems[0].what
    assert hint in caught.value.problems[0].hint


def test_a_model_that_nobody_knows_is_told(shared: StandIn) -> None:
    with pytest.raises(ImagegenError, match=r"Ollama knows no model x/nothing \(.*file does not exist\)"):
        pull(command_of(shared), "x/nothing", None, lambda _: None, lambda: None)


def test_a_pull_without_a_server_says_so(tmp_path: Path) -> None:
    command = script(
        tmp_path, "echo \"Error: could not connect to ollama server, run 'ollama serve' to start it\" >&2; exit 1"
    )
    with pytest.raises(ImagegenError, match="Ollama does not answer any more"):
        pull(command, MODEL, None, lambda _: None, lambda: None)


def test_a_pull_that_is_cancelled_ends_with_its_process(ollama: StandIn) -> None:
    ollama.model("x/other", pulled=False)
    ollama.fault("pull-slow", seconds=30)
    began = time.monotonic()

    class StopError(Exception):
        pass

    def check() -> None:
        if time.monotonic() - began > 0.5:
            raise StopError

    with pytest.raises(StopError):
        pull(command_of(ollama), "x/other", None, lambda _: None, check)
    assert time.monotonic() - began < 3
    assert not any(call.alive for call in ollama.called("pull"))
    assert "x/other" not in ollama.run("list").stdout


def test_a_message_that_cannot_be_told_ends_the_pull_too(ollama: StandIn) -> None:
    """What hears the progress may raise: the user asked to stop."""
    ollama.model("x/other", pulled=False)
    ollama.fault("pull-slow", seconds=0.5)
    told = Told()
    told.cancel.set()
    with pytest.raises(Cancelled):
        pull(command_of(ollama), "x/other", None, lambda text: told.event("waiting", text=text), lambda: None)
    assert not any(call.alive for call in ollama.called("pull"))
