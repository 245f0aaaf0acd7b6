"""One image's call: its words, its folder, what it leaves, and what a later run finds of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from imagegen.backends.base import Cancelled, GenerationError
from imagegen.backends.ollama.command import Command
from imagegen.backends.ollama.drawing import draw, folder_of, forget_old, words
from imagegen.images.image_file import verify
from imagegen.plan.request import Request
from tests.backends.ollama.parts import MODEL, Told, command_of, is_alive, request, script, until
from tests.backends.ollama.standin.fixture import StandIn

CALLS = ".imagegen/ollama/calls"
ATTEMPT = "0a1b"


def left(root: Path) -> list[str]:
    return sorted(path.name for path in (root / CALLS).iterdir())


def drawn(command: Command, wanted: Request, root: Path, told: Told) -> bytes:
    return draw(command, None, wanted, folder_of(root, ATTEMPT), told)


def test_the_words_of_a_call() -> None:
    assert words(request("-a cat", width=64, seed=7)) == [
        *("run", "--width", "64", "--height", "32", "--steps", "2", "--seed", "7", "--keepalive", "10m", "--", MODEL, "-a cat")
    ]  # fmt: skip


def test_steps_that_the_job_leaves_open_are_the_models_own() -> None:
    assert "--steps" not in words(request(given=()))
    assert "--steps" not in words(request(given=("seed", "width")))


def test_the_image_comes_with_its_steps_and_stays_for_a_run_that_is_killed(shared: StandIn, tmp_path: Path) -> None:
    told = Told()
    data = drawn(command_of(shared), request("a drawn cat"), tmp_path, told)
    assert verify(data, 32, 32)
    assert left(tmp_path) == [ATTEMPT], "until the image is in the store"
    assert all(steps["total"] == 2 for steps in told.named("steps"))
    call = shared.called("run")[-1]
    assert call.cwd == os.path.realpath(tmp_path / CALLS / ATTEMPT / "image")
    assert call.group == call.pid


@pytest.mark.parametrize("prompt", ["--help", "$(id) `id` 'x' \"y\"", "two\nlines", "猫 🦉", " a cat"])
def test_the_prompt_goes_through_no_shell(shared: StandIn, tmp_path: Path, prompt: str) -> None:
    drawn(command_of(shared), request(prompt), tmp_path, Told())
    assert shared.images[-1]["prompt"] == prompt.strip()


def test_steps_are_told_while_it_draws(ollama: StandIn, tmp_path: Path) -> None:
    ollama.fault("slow", seconds=0.12)
    told = Told()
    drawn(command_of(ollama), request(steps=4), tmp_path, told)
    done = [steps["done"] for steps in told.named("steps")]
    assert len(done) >= 2
    assert done == sorted(done)
    assert {steps["total"] for steps in told.named("steps")} == {4}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("printf 'Error: no'; exit 1", "Ollama says: no"),
        ("true", "Ollama finished without an image and without a reason"),
        ("echo x > a.png", "what Ollama wrote is no whole PNG"),
        ("printf '\\211PNG\\r\\n\\032\\nhalf' > a.png", "what Ollama wrote is no whole PNG"),
        ("touch a.png b.png", "Ollama wrote 2 files in place of one"),
        ("rmdir ../image", "Ollama finished without an image and without a reason"),
        ("kill -15 $$", "'ollama run' was ended by signal 15"),
    ],
)
def test_what_went_wrong_is_told_and_nothing_left(tmp_path: Path, text: str, what: str) -> None:
    command = script(tmp_path, text)
    with pytest.raises(GenerationError) as caught:
        drawn(command, request(), tmp_path, Told())
    assert caught.value.problem.what == what
    assert caught.value.problem.hint
    assert left(tmp_path) == []


def test_one_that_cannot_be_started_fails_the_image_in_its_words(tmp_path: Path) -> None:
    command = script(tmp_path, "")
    Path(command.executable).unlink()
    with pytest.raises(GenerationError, match="cannot be started: No such file or directory"):
        drawn(command, request(), tmp_path, Told())
    assert left(tmp_path) == []


def test_a_hang_is_ended_after_its_time(tmp_path: Path) -> None:
    with pytest.raises(GenerationError, match="not done after 1 s"):
        drawn(script(tmp_path, f"echo $$ > {tmp_path}/pid; sleep 60"), request(), tmp_path, Told(timeout_s=1))
    assert not is_alive(int((tmp_path / "pid").read_text()))
    assert left(tmp_path) == []


# what a later run finds


STARTS = """
import sys, time
from pathlib import Path
from imagegen.backends.ollama.command import Command
from imagegen.backends.ollama.command import Command
from imagegen.backends.ollama.drawing import draw, folder_of
from tests.backends.ollama.parts import Told, request
draw(Command(sys.argv[1], sys.argv[2]), None, request("a kept cat"), folder_of(Path(sys.argv[3]), "0a1b"), Told())
"""


def killed(executable: str, host: str, root: Path) -> int:
    """The call of a run that was killed while it drew: its number."""
    process = subprocess.Popen(
        [sys.executable, "-c", STARTS, executable, host, str(root)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    note = root / CALLS / ATTEMPT / "call.json"
    until(lambda: note.exists() and note.read_text().endswith("}"))
    process.kill()
    process.wait()
    return int(json.loads(note.read_text())["pid"])


def test_a_call_that_still_draws_is_waited_for(ollama: StandIn, tmp_path: Path) -> None:
    ollama.fault("slow", seconds=0.3, times=1)
    killed(command_of(ollama).executable, ollama.host, tmp_path)
    told = Told()
    assert verify(drawn(command_of(ollama), request("a kept cat"), tmp_path, told), 32, 32)
    assert told.named("note") == [{"text": "yrr: Ollama still draws what a run that ended asked for"}]
    assert len(ollama.images) == len(ollama.called("run")) == 1


def test_the_image_of_a_call_that_has_ended_is_taken(ollama: StandIn, tmp_path: Path) -> None:
    ollama.fault("slow", seconds=0.1, times=1)
    pid = killed(command_of(ollama).executable, ollama.host, tmp_path)
    until(lambda: not is_alive(pid))
    assert verify(drawn(command_of(ollama), request("a kept cat"), tmp_path, Told()), 32, 32)
    assert len(ollama.called("run")) == 1


def test_the_user_who_stops_ends_a_call_that_was_found_too(tmp_path: Path) -> None:
    command = script(tmp_path, f"sleep 60 & echo $! > {tmp_path}/child; wait")
    pid = killed(command.executable, command.host, tmp_path)
    until(lambda: (tmp_path / "child").read_text())
    told = Told()
    told.cancel.set()  # so that even the note raises
    with pytest.raises(Cancelled):
        drawn(command, request(), tmp_path, told)
    assert not is_alive(pid)
    until(lambda: not is_alive(int((tmp_path / "child").read_text())))
    assert left(tmp_path) == []


def test_another_process_that_has_the_number_of_a_call_is_neither_waited_for_nor_ended(tmp_path: Path) -> None:
    folder = tmp_path / CALLS / ATTEMPT
    folder.mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        try:
            begun = psutil.Process(other.pid).create_time()
            (folder / "call.json").write_text(json.dumps({"pid": other.pid, "started": begun - 3600}))
            with pytest.raises(GenerationError, match="without an image"):
                drawn(script(tmp_path, "true"), request(), tmp_path, Told())
            time.sleep(0.1)
            assert other.poll() is None
        finally:
            other.kill()


@pytest.mark.parametrize("note", ["", "{", "[]", "{}", '{"pid": "x", "started": 1}', '{"pid": -5, "started": 1}', '{"pid": 1e99, "started": 1}', '{"pid": 1, "started": null}'])  # fmt: skip
def test_a_note_that_says_nothing_is_left_aside(shared: StandIn, tmp_path: Path, note: str) -> None:
    folder = tmp_path / CALLS / ATTEMPT
    (folder / "image").mkdir(parents=True)
    (folder / "image/half.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    (folder / "call.json").write_text(note)
    assert verify(drawn(command_of(shared), request(), tmp_path, Told()), 32, 32)


def test_only_what_is_old_and_has_ended_is_forgotten(tmp_path: Path) -> None:
    begun = psutil.Process().create_time()
    for name in ("new", "old", "drawing"):
        (tmp_path / CALLS / name).mkdir(parents=True)
    (tmp_path / CALLS / "drawing/call.json").write_text(json.dumps({"pid": os.getpid(), "started": begun}))
    for name in ("old", "drawing"):
        os.utime(tmp_path / CALLS / name, (0, 0))
    forget_old(tmp_path)
    assert left(tmp_path) == ["drawing", "new"]
    forget_old(tmp_path / "nowhere")
