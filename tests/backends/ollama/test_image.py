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
from hypothesis import given
from hypothesis import strategies as st

from imagegen.backends.base import Cancelled, GenerationError
from imagegen.backends.machine import Machine
from imagegen.backends.ollama import image
from imagegen.backends.ollama.cli import CallResult, Command
from imagegen.backends.ollama.image import (
    OllamaError,
    call_folder,
    command_words,
    delete_old_calls,
    explain_file_count,
    explain_result,
    generate,
)
from imagegen.images.image_file import verify
from imagegen.plan.request import Request
from tests.backends.ollama.fake_ollama.fixture import FakeOllama
from tests.backends.ollama.parts import MODEL, RecordedProgress, command_of, is_alive, request, script, until

CALLS = ".imagegen/ollama/calls"
ATTEMPT = "0a1b"


def left(root: Path) -> list[str]:
    return sorted(path.name for path in (root / CALLS).iterdir())


def generate_image(command: Command, wanted: Request, root: Path, reported: RecordedProgress) -> bytes:
    return generate(command, None, wanted, call_folder(root, ATTEMPT), reported)


def test_the_words_of_a_call() -> None:
    assert command_words(request("-a cat", width=64, seed=7)) == [
        *("run", "--width", "64", "--height", "32", "--steps", "2", "--seed", "7", "--keepalive", "10m", "--", MODEL, "-a cat")
    ]  # fmt: skip


def test_steps_that_the_job_leaves_open_are_the_models_own() -> None:
    assert "--steps" not in command_words(request(given=()))
    assert "--steps" not in command_words(request(given=("seed", "width")))


def test_the_image_comes_with_its_steps_and_stays_for_a_run_that_is_killed(shared: FakeOllama, tmp_path: Path) -> None:
    reported = RecordedProgress()
    data = generate_image(command_of(shared), request("a drawn cat"), tmp_path, reported)
    assert verify(data, 32, 32)
    assert left(tmp_path) == [ATTEMPT], "until the image is in the store"
    assert all(steps["total"] == 2 for steps in reported.named("steps"))
    call = shared.called("run")[-1]
    assert call.cwd == os.path.realpath(tmp_path / CALLS / ATTEMPT / "image")
    assert call.group == call.pid


@pytest.mark.parametrize("prompt", ["--help", "$(id) `id` 'x' \"y\"", "two\nlines", "猫 🦉", " a cat"])
def test_the_prompt_goes_through_no_shell(shared: FakeOllama, tmp_path: Path, prompt: str) -> None:
    generate_image(command_of(shared), request(prompt), tmp_path, RecordedProgress())
    assert shared.images[-1]["prompt"] == prompt.strip()


def test_steps_are_told_while_it_draws(ollama: FakeOllama, tmp_path: Path) -> None:
    ollama.fault("slow", seconds=0.12)
    reported = RecordedProgress()
    generate_image(command_of(ollama), request(steps=4), tmp_path, reported)
    done = [steps["done"] for steps in reported.named("steps")]
    assert len(done) >= 2
    assert done == sorted(done)
    assert {steps["total"] for steps in reported.named("steps")} == {4}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("printf 'Error: no'; exit 1", "Ollama says: no"),
        ("true", "Ollama finished without an image and without a reason"),
        ("echo x > a.png", "what Ollama wrote is not a complete PNG"),
        ("printf '\\211PNG\\r\\n\\032\\nhalf' > a.png", "what Ollama wrote is not a complete PNG"),
        ("touch a.png b.png", "Ollama wrote 2 files instead of one"),
        ("rmdir ../image", "Ollama finished without an image and without a reason"),
        ("kill -15 $$", "'ollama run' was ended by signal 15"),
    ],
)
def test_what_went_wrong_is_told_and_nothing_left(tmp_path: Path, text: str, what: str) -> None:
    command = script(tmp_path, text)
    with pytest.raises(GenerationError) as caught:
        generate_image(command, request(), tmp_path, RecordedProgress())
    assert caught.value.problem.what == what
    assert caught.value.problem.hint
    assert left(tmp_path) == []


def test_one_that_cannot_be_started_fails_the_image_in_its_words(tmp_path: Path) -> None:
    command = script(tmp_path, "")
    Path(command.executable).unlink()
    with pytest.raises(GenerationError, match="cannot be started: No such file or directory"):
        generate_image(command, request(), tmp_path, RecordedProgress())
    assert left(tmp_path) == []


def test_a_hang_is_ended_after_its_time(tmp_path: Path) -> None:
    with pytest.raises(GenerationError, match="not done after 1 s"):
        generate_image(
            script(tmp_path, f"echo $$ > {tmp_path}/pid; sleep 60"), request(), tmp_path, RecordedProgress(timeout_s=1)
        )
    assert not is_alive(int((tmp_path / "pid").read_text()))
    assert left(tmp_path) == []


# what a later run finds


STARTS = """
import sys, time
from pathlib import Path
from imagegen.backends.ollama.cli import Command
from imagegen.backends.ollama.image import call_folder, generate
from tests.backends.ollama.parts import RecordedProgress, request
generate(Command(sys.argv[1], sys.argv[2]), None, request("a kept cat"), call_folder(Path(sys.argv[3]), "0a1b"), RecordedProgress())
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


def test_a_call_that_still_draws_is_waited_for(ollama: FakeOllama, tmp_path: Path) -> None:
    ollama.fault("slow", seconds=0.3, times=1)
    killed(command_of(ollama).executable, ollama.host, tmp_path)
    reported = RecordedProgress()
    assert verify(generate_image(command_of(ollama), request("a kept cat"), tmp_path, reported), 32, 32)
    assert reported.named("note") == [{"text": "yrr: Ollama is still generating what an earlier run asked for"}]
    assert len(ollama.images) == len(ollama.called("run")) == 1


def test_the_image_of_a_call_that_has_ended_is_taken(ollama: FakeOllama, tmp_path: Path) -> None:
    ollama.fault("slow", seconds=0.1, times=1)
    pid = killed(command_of(ollama).executable, ollama.host, tmp_path)
    until(lambda: not is_alive(pid))
    assert verify(generate_image(command_of(ollama), request("a kept cat"), tmp_path, RecordedProgress()), 32, 32)
    assert len(ollama.called("run")) == 1


def test_the_user_who_stops_ends_a_call_that_was_found_too(tmp_path: Path) -> None:
    command = script(tmp_path, f"sleep 60 & echo $! > {tmp_path}/child; wait")
    pid = killed(command.executable, command.host, tmp_path)
    until(lambda: (tmp_path / "child").read_text())
    reported = RecordedProgress()
    reported.cancel.set()  # so that even the note raises
    with pytest.raises(Cancelled):
        generate_image(command, request(), tmp_path, reported)
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
                generate_image(script(tmp_path, "true"), request(), tmp_path, RecordedProgress())
            time.sleep(0.1)
            assert other.poll() is None
        finally:
            other.kill()


@pytest.mark.parametrize("note", ["", "{", "[]", "{}", '{"pid": "x", "started": 1}', '{"pid": -5, "started": 1}', '{"pid": 1e99, "started": 1}', '{"pid": 1, "started": null}'])  # fmt: skip
def test_a_note_that_says_nothing_is_left_aside(shared: FakeOllama, tmp_path: Path, note: str) -> None:
    folder = tmp_path / CALLS / ATTEMPT
    (folder / "image").mkdir(parents=True)
    (folder / "image/half.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    (folder / "call.json").write_text(note)
    assert verify(generate_image(command_of(shared), request(), tmp_path, RecordedProgress()), 32, 32)


def test_only_what_is_old_and_has_ended_is_forgotten(tmp_path: Path) -> None:
    begun = psutil.Process().create_time()
    for name in ("new", "old", "drawing"):
        (tmp_path / CALLS / name).mkdir(parents=True)
    (tmp_path / CALLS / "drawing/call.json").write_text(json.dumps({"pid": os.getpid(), "started": begun}))
    for name in ("old", "drawing"):
        os.utime(tmp_path / CALLS / name, (0, 0))
    delete_old_calls(tmp_path)
    assert left(tmp_path) == ["drawing", "new"]
    delete_old_calls(tmp_path / "nowhere")


MAC, LINUX = Machine("Darwin", "arm64"), Machine("Linux", "x86_64")
E500 = "Error: 500 Internal Server Error: "
SIGNS = [sign.pattern for sign in image._SIGNS]
FRAGMENTS = st.sampled_from(
    ["Error: ", "failed to save image: ", "failed to initialize MLX: ", "model requires 1 GiB but only ", "token too long", "server busy",
     'Post "http://h/api/generate": EOF', "model 'x' not found", "width and height must be <= ", "{0}", "{", "\n", "\x1b[K", "\u202e", "unknown flag: --x"]
)  # fmt: skip


def failed(text: str, code: int = 1, machine: Machine | None = MAC) -> OllamaError:
    failure = explain_result(CallResult(code, text, text), request(width=2048, height=1024), machine)
    assert failure is not None
    return failure


@pytest.mark.parametrize(
    ("text", "what", "is_permanent"),
    [
        (
            f"{E500}model requires 12.0 GiB but only 8.0 GiB are available (after 1.0 GiB overhead)",
            "out of memory: the model needs 12.0 GiB, and 8.0 GiB are free",
            False,
        ),
        (
            f"{E500}mlx runner failed: Error: failed to create server: failed to load image model: insufficient memory for image generation: need 11 GB, have 8 GB (exit: exit status 1)",
            "out of memory: the image needs 11 GB, and 8 GB are free",
            False,
        ),
        ("Error: bufio.Scanner: token too long", "the image, 2048×1024, is larger than Ollama can hand over (about 6 MB)", False),
        ("Error: 400 Bad Request: image generation models are not currently supported", "this version of Ollama does not generate images", True),
        ("Error: unknown flag: --width", "this version of Ollama does not generate images", True),
        (
            f"{E500}image generation on macOS requires Apple Silicon (arm64), got amd64",
            "the machine that Ollama serves on does not generate images: on a Mac it takes Apple silicon",
            True,
        ),
        (f"{E500}mlx runner failed: Error: failed to initialize MLX: libmlxc.so not found (exit: exit status 1)", "Ollama cannot load its MLX libraries, which it generates with", True),
        (f"{E500}mlx runner failed: Error: failed to initialize MLX: failed to load MLX dynamic library (searched: [/a/lib/ollama])", "Ollama cannot load its MLX libraries, which it generates with", True),
        (f"{E500}MLX runner not available: build with mlx tag", "Ollama cannot load its MLX libraries, which it generates with", True),
        ("Error: could not connect to ollama server, run 'ollama serve' to start it", "Ollama does not answer any more", True),
        ('Error: Post "http://127.0.0.1:11434/api/generate": dial tcp 127.0.0.1:11434: connect: connection refused', "Ollama does not answer any more", True),
        ('Error: Post "http://127.0.0.1:11434/api/generate": EOF', "Ollama does not answer any more", True),
        ('Error: Post "http://h:1/api/show": read tcp 1:2->3:4: read: connection reset by peer', "Ollama does not answer any more", True),
        ("⠋ Generating 25% ▕█   ▏ 1/4Error: unexpected EOF\n", "Ollama does not answer any more", True),
        (f'{E500}Post "http://127.0.0.1:40927/completion": EOF', "the process that generates for Ollama crashed", False),
        (f'{E500}Post "http://127.0.0.1:40927/completion": dial tcp 127.0.0.1:40927: connect: connection refused', "the process that generates for Ollama crashed", False),
        (f'{E500}Post "http://127.0.0.1:4/completion": context deadline exceeded (Client.Timeout or context cancellation while reading body)', "Ollama gives one image 10 minutes, and this one takes longer", False),
        ("Error: failed to save image: open a.png: no such file or directory", "Ollama could not write the image: open a.png: no such file or directory", False),
        ("Error: failed to save image: ", "Ollama could not write the image: ?", False),
        ("Error: 400 Bad Request: width and height must be <= 4096", "Ollama takes at most 4096 pixels a side", False),
        ("Error: 503 Service Unavailable: server busy, please try again.  maximum pending requests exceeded", "Ollama is busy with other requests", False),
        ("Error: model 'x/y:latest' not found", "Ollama knows no such model", False),
        (f"{E500}mlx runner failed:   model.norm.weight (exit: exit status 1)", "Ollama says: 500 Internal Server Error: mlx runner failed: model.norm.weight (exit: exit status 1)", False),
        (f"{E500}mlx runner failed: failed to load image model: unexpected EOF (exit: exit status 1)", "Ollama says: 500 Internal Server Error: mlx runner failed: failed to load image model: unexpected EOF (exit: exit status 1)", False),
        ("Error: mlx runner closed response before completion: killed", "Ollama says: mlx runner closed response before completion: killed", False),
        ("panic: oh no\n\ngoroutine 1", "'ollama run' ended with exit code 1: panic: oh no goroutine 1", False),
        ("", "'ollama run' ended with exit code 1", False),
    ],
)  # fmt: skip
def test_what_is_known_is_told_in_our_words(text: str, what: str, is_permanent: bool) -> None:
    failure = failed(text)
    assert (failure.problem.what, failure.is_permanent) == (what, is_permanent)
    assert failure.problem.hint


def test_a_signal_is_told_by_its_number() -> None:
    assert failed("", -9).problem.what == "'ollama run' was ended by signal 9"


def test_an_end_without_an_error_is_no_failure() -> None:
    for code in (0, None):  # None: nobody knows the code of a call that another run started
        assert explain_result(CallResult(code, "", "Generating 100% ▕█▏ 4/4"), request(), MAC) is None


def test_an_error_counts_also_where_the_code_is_zero_or_unknown() -> None:
    for code in (0, None):
        failure = explain_result(CallResult(code, "", "Error: oh no"), request(), MAC)
        assert failure
        assert failure.problem.what == "Ollama says: oh no"


def test_the_way_to_another_version_is_the_machines_own() -> None:
    message = "Error: unknown flag: --width"
    assert "doit ollama:setup" in failed(message, machine=MAC).problem.hint
    assert "OLLAMA_VERSION=0.32.5" in failed(message, machine=LINUX).problem.hint
    assert failed(message, machine=None).problem.hint.startswith("have the server run")


@pytest.mark.parametrize(("width", "height"), [(2048, 2048), (4096, 4096), (4096, 1024), (1440, 1424)])
def test_of_an_image_that_is_too_large_one_is_named_that_fits(width: int, height: int) -> None:
    failure = explain_result(
        CallResult(1, "", "Error: bufio.Scanner: token too long"), request(width=width, height=height), MAC
    )
    assert failure
    across, down = map(int, failure.problem.hint.removeprefix("make it smaller: ").removesuffix(" fits").split("×"))
    assert (across % 16, down % 16) == (0, 0)
    assert across * down * 3 <= 6_000_000
    assert across * down < width * height
    assert abs(across / down - width / height) < 0.05 * width / height


@given(
    st.none() | st.integers(-64, 255),
    st.lists(
        FRAGMENTS | st.text(max_size=8) | st.sampled_from(SIGNS).flatmap(lambda pattern: st.from_regex(pattern))
    ).map("".join),
    st.sampled_from([MAC, LINUX, None]),
)
def test_whatever_is_said_comes_to_one_plain_line(code: int | None, text: str, machine: Machine | None) -> None:
    failure = explain_result(CallResult(code, text, text), request(), machine)
    assert failure is not None or code in (0, None)
    if failure:
        assert failure.problem.what
        assert failure.problem.what.isprintable()
        assert len(failure.problem.what) < 700
        assert failure.problem.hint.isprintable()


def test_one_file_is_what_there_should_be() -> None:
    assert explain_file_count(1, CallResult(0, "Image saved to: a.png", "")) is None


@pytest.mark.parametrize(
    "message", ["", "\n", "⠋ ⠙ ⠹ \n", "⠋ Generating 100% ▕████▏ 4/4", "Generating   0% ▕    ▏ 0/4\n"]
)
def test_no_image_and_no_reason(message: str) -> None:
    failure = explain_file_count(0, CallResult(0, message, message))
    assert failure
    assert failure.problem.what == "Ollama finished without an image and without a reason"


def test_an_answer_in_words_tells_of_the_wrong_model() -> None:
    failure = explain_file_count(
        0, CallResult(0, "I am a language model.\nGenerating images is not for me, sadly, for I only write.", "")
    )
    assert failure
    assert failure.problem.what == (
        "Ollama wrote no image but an answer, 'I am a language model. Generating images is not for me, sad…': "
        "does the model generate images?"
    )


def test_more_files_than_one_are_told() -> None:
    failure = explain_file_count(3, CallResult(0, "", ""))
    assert failure
    assert failure.problem.what == "Ollama wrote 3 files instead of one"
