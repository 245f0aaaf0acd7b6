"""The command line: what is asked of it, what it says, and calls that take long. The processes are real."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.backends.managed_server import ProcessIdentity
from imagegen.backends.ollama.cli import (
    Call,
    CallResult,
    Command,
    ListedModel,
    ModelDetails,
    Versions,
    has_image_flags,
    list_models,
    plain_text,
    read_versions,
    show_model,
)
from imagegen.errors import ImagegenError
from tests.backends.ollama.fake_ollama.fixture import FakeOllama
from tests.backends.ollama.parts import MODEL, command_of, is_alive, script, until

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
PIECES = st.sampled_from(
    [b"\x1b[31m", b"\x1b[", b"\x1b]0;title\x07", b"\x1b]8;;x\x1b\\", b"\x1b_Gf=100;AAAA\x1b\\", b"\x1b", b"\x9b1m", b"\xc2\x9b", b"\r", b"\n", b"Error: no"]
)  # fmt: skip


def never() -> None:
    pass


def ignored(_text: str) -> None:
    pass


def started(command: Command, folder: Path, *words: str) -> Call:
    return command.start(*words, folder=folder, log=folder / "log")


def child_of(folder: Path) -> int:
    """The number that a script wrote, once it is there."""
    file = folder / "child"
    until(lambda: file.exists() and file.read_text().strip())
    return int(file.read_text())


# plain text


@given(st.binary() | st.lists(PIECES | st.binary(max_size=4)).map(b"".join))
def test_no_control_character_is_left_of_any_bytes(data: bytes) -> None:
    assert not CONTROL.search(plain_text(data))


@given(st.text().filter(lambda text: not CONTROL.search(text)))
def test_text_with_new_lines_and_tabs_stays_as_it_is(text: str) -> None:
    assert plain_text(text.encode("utf-8", "replace")) == text.encode("utf-8", "replace").decode()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x1b[?25l\x1b[2K\x1b[1Ga\x1b[Kb", "ab"),
        (b"\x1b]1337;File=inline=1:AAAA\x07Image", "Image"),
        (b"\x1b_Ga=T;AAAA\x1b\\Image", "Image"),
        (b"\x1b(Ba\x1b7b\x1bMc", "abc"),
        (b"one\rtwo", "one\ntwo"),
        (b"a\x1b\nb", "a\nb"),
        (b"\xff\xfe", "��"),
    ],
)
def test_what_steers_a_terminal_goes_and_the_rest_stays(data: bytes, text: str) -> None:
    assert plain_text(data) == text


@pytest.mark.parametrize(
    ("err", "error"),
    [
        ("", ""),
        ("Generating 25% ▕█ ▏ 1/4", ""),
        ("Error: no\n", "no"),
        ("⠋ Generating 25% ▕█ ▏ 1/4Error: no room", "no room"),
        (
            "Warning: old\nError: 500 Internal Server Error: mlx runner failed: Error: failed to load (exit: 1)\n",
            "500 Internal Server Error: mlx runner failed: Error: failed to load (exit: 1)",
        ),
        ("Error: first\n\n  second\u2028\u202ethird\n", "first second third"),
    ],
)
def test_the_error_is_one_line_from_the_first_sign_of_it(err: str, error: str) -> None:
    assert CallResult(1, "", err).error == error


@given(st.text())
def test_an_error_is_always_one_line_of_bounded_length(text: str) -> None:
    error = CallResult(1, "", f"Error: {text}").error
    assert len(error.splitlines()) <= 1
    assert len(error) <= 600


# asking


def test_a_question_is_answered_without_control_sequences(shared: FakeOllama) -> None:
    message = command_of(shared).run("show", "x/nothing")
    assert (message.code, message.out, message.error) == (1, "", "model 'x/nothing:latest' not found")
    assert "x/z-image-turbo:latest" in command_of(shared).run("list").out


def test_it_gets_our_host_and_neither_our_secrets_nor_what_would_show_images(
    shared: FakeOllama, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in (
        "COMFYUI_AUTH",
        "HF_TOKEN",
        "TERM_PROGRAM",
        "KITTY_WINDOW_ID",
        "WEZTERM_PANE",
        "GHOSTTY_RESOURCES_DIR",
    ):
        monkeypatch.setenv(name, "to be left out")
    monkeypatch.setenv("OLLAMA_HOST", "elsewhere")
    message = script(tmp_path, "env", shared.host).run("x").out
    assert f"OLLAMA_HOST={shared.host}\n" in message
    assert "to be left out" not in message
    assert re.search("^PATH=", message, re.MULTILINE)


def test_one_that_cannot_be_started_says_which(tmp_path: Path) -> None:
    command = script(tmp_path, "")
    Path(command.executable).chmod(0o644)
    for attempt in (lambda: command.run("list"), lambda: started(command, tmp_path)):
        with pytest.raises(
            ImagegenError, match=re.escape(f"{command.executable} cannot be started: Permission denied")
        ):
            attempt()


def test_a_folder_that_is_gone_is_not_taken_for_a_broken_ollama(tmp_path: Path) -> None:
    command = script(tmp_path, "")
    for folder, log in ((tmp_path / "gone", tmp_path / "log"), (tmp_path, tmp_path / "gone/log")):
        with pytest.raises(ImagegenError, match=r"gone(/log)?: No such file or directory") as caught:
            command.start("run", folder=folder, log=log)
        assert "cannot be started" not in str(caught.value)


def test_a_question_that_is_never_answered_ends_with_all_that_it_started(tmp_path: Path) -> None:
    command = script(tmp_path, f"sleep 60 & echo $! > {tmp_path}/child; wait")
    began = time.monotonic()
    with pytest.raises(ImagegenError) as caught:
        command.run("list", timeout_s=0.5)
    assert time.monotonic() - began < 5
    assert str(caught.value) == (
        "'ollama list' is not done after 0.5 s: does the server at 127.0.0.1:9 hang?\n    restart Ollama, then run doit again"
    )
    child = child_of(tmp_path)
    until(lambda: not is_alive(child))


def test_a_server_that_takes_questions_and_says_nothing_is_given_up(ollama: FakeOllama) -> None:
    ollama.fault("silent", "/api/tags")
    with pytest.raises(ImagegenError, match="'ollama list' is not done after 1 s"):
        command_of(ollama).run("list", timeout_s=1)
    assert not any(call.alive for call in ollama.called("list"))


def test_ctrl_c_ends_a_question_with_all_that_it_started(tmp_path: Path) -> None:
    command = script(tmp_path, f"sleep 60 & echo $! > {tmp_path}/child; wait")
    code = f"from imagegen.backends.ollama.cli import Command; Command({command.executable!r}, '').run('list')"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        child = child_of(tmp_path)
        until(lambda: psutil.Process(process.pid).num_threads() > 1)  # it waits for the answer by then
        process.send_signal(signal.SIGINT)
        assert process.wait(10) != 0
    until(lambda: not is_alive(child))


def test_a_question_that_is_left_behind_ends_with_the_process_that_asked(tmp_path: Path) -> None:
    command = script(tmp_path, f"sleep 60 & echo $! > {tmp_path}/child; wait")
    code = (
        "import pathlib, threading, time\n"
        "from imagegen.backends.ollama.cli import Command\n"
        f"ask = Command({command.executable!r}, '').run\n"
        "threading.Thread(target=ask, args=['list'], daemon=True).start()\n"
        f"while not pathlib.Path({str(tmp_path / 'child')!r}).exists() or threading.active_count() < 4: time.sleep(0.01)"
    )
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)
    child = child_of(tmp_path)
    until(lambda: not is_alive(child))


# calls


def test_a_call_tells_its_progress_and_its_end(tmp_path: Path) -> None:
    call = started(script(tmp_path, "echo one; sleep 0.3; echo two >&2; pwd; exit 3"), tmp_path)
    heard: list[str] = []
    with call:
        message = call.wait(never, heard.append)
    assert (message.code, message.out) == (3, f"one\ntwo\n{os.path.realpath(tmp_path)}\n")
    assert "one\n" in heard


def test_of_a_log_that_grows_and_grows_the_end_is_kept(tmp_path: Path) -> None:
    lines = "i=0; while [ $i -lt 400 ]; do printf '%1000s\\n' $i; i=$((i+1)); done; echo Error: the end; exit 1"
    with started(script(tmp_path, lines), tmp_path) as call:
        message = call.wait(never, lambda text: None if len(text) <= 65536 else pytest.fail("too long"))
    assert message.error == "the end"
    assert len(message.out) == 65536
    assert (tmp_path / "log").stat().st_size > 400_000


def test_it_reads_nothing_and_is_in_a_session_of_its_own(tmp_path: Path) -> None:
    with started(script(tmp_path, "cat; sleep 0.2"), tmp_path) as call:
        sid = os.getsid(call.identity.pid)
        assert call.wait(never, ignored).code == 0
    assert sid == call.identity.pid != os.getsid(0)


def test_a_signal_is_told_by_its_number(tmp_path: Path) -> None:
    with started(script(tmp_path, "kill -9 $$"), tmp_path) as call:
        assert call.wait(never, ignored).code == -9


class StopError(Exception):
    pass


def stop() -> None:
    raise StopError


def test_a_check_that_raises_ends_the_call_and_what_it_started_and_nothing_else(tmp_path: Path) -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        call = started(script(tmp_path, f"sleep 60 & echo $! > {tmp_path}/child; wait"), tmp_path)
        child = child_of(tmp_path)
        with pytest.raises(StopError), call:
            call.wait(stop, ignored)
        assert not is_alive(call.identity.pid)
        until(lambda: not is_alive(child))
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_one_that_asks_for_no_mercy_is_killed(tmp_path: Path) -> None:
    call = started(script(tmp_path, "trap '' TERM; echo on; while :; do sleep 0.1; done"), tmp_path)
    until(lambda: (tmp_path / "log").read_bytes())
    with pytest.raises(StopError), call:
        call.wait(stop, ignored)
    assert not is_alive(call.identity.pid)


def test_what_a_call_left_running_ends_with_it(tmp_path: Path) -> None:
    with started(script(tmp_path, f"sleep 60 & echo $! > {tmp_path}/child; exit 0"), tmp_path) as call:
        assert call.wait(never, ignored).code == 0
    child = child_of(tmp_path)
    until(lambda: not is_alive(child))


def test_what_a_call_left_running_ends_too_where_nobody_waited(tmp_path: Path) -> None:
    with started(script(tmp_path, f"sleep 60 & echo $! > {tmp_path}/child; exit 0"), tmp_path) as call:
        child = child_of(tmp_path)
        until(lambda: not is_alive(call.identity.pid))
    until(lambda: not is_alive(child))
    call.stop()  # and nothing is left to be done


# a call that another process started


def orphan(folder: Path, text: str) -> Call:
    """A call whose parent has ended, as a later run finds it."""
    command = script(folder, text)
    code = (
        "from pathlib import Path; from imagegen.backends.ollama.cli import Command;"
        f"folder = Path({str(folder)!r}); call = Command({command.executable!r}, '').start('run', folder=folder, log=folder / 'log');"
        "print(call.identity.pid, call.identity.started)"
    )
    pid, begun = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    return Call(ProcessIdentity(int(pid), float(begun)), folder / "log")


def test_a_call_outlives_the_process_that_started_it_and_is_waited_for(tmp_path: Path) -> None:
    with orphan(tmp_path, "sleep 0.8; echo done") as call:
        assert is_alive(call.identity.pid)
        message = call.wait(never, ignored)
    assert (message.code, message.out) == (None, "done\n")


def test_it_is_ended_with_what_it_started(tmp_path: Path) -> None:
    with orphan(tmp_path, f"sleep 60 & echo $! > {tmp_path}/child; wait") as call:
        child = child_of(tmp_path)
    until(lambda: not is_alive(call.identity.pid))
    until(lambda: not is_alive(child))


def test_another_process_that_has_its_number_by_now_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        try:
            begun = psutil.Process(other.pid).create_time()
            with Call(ProcessIdentity(other.pid, begun - 3600), tmp_path / "log") as call:
                assert call.wait(never, ignored) == CallResult(None, "", "")
            time.sleep(0.2)
            assert other.poll() is None
        finally:
            other.kill()


def test_ten_calls_at_a_time_are_no_trouble(tmp_path: Path) -> None:
    codes: list[int | None] = []
    command = script(tmp_path, "sleep 0.1; exit $1")

    def one(number: int) -> None:
        with command.start(str(number), folder=tmp_path, log=tmp_path / f"log{number}") as call:
            codes.append(call.wait(never, ignored).code)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(filter(None, codes)) == list(range(1, 10))


def saying(folder: Path, text: str, code: int = 0) -> Command:
    (folder / "said").write_text(text, "utf-8")
    return script(folder, f"cat {folder}/said; exit {code}")


def test_both_versions_are_known_where_they_are_one(shared: FakeOllama) -> None:
    assert read_versions(command_of(shared)) == Versions("0.32.5", "0.32.5")


def test_the_clients_is_told_from_the_servers(shared: FakeOllama) -> None:
    other = shared.install(shared.folder / "newer", "0.32.15")
    assert read_versions(Command(str(other), shared.host)) == Versions("0.32.15", "0.32.5")


def test_the_servers_is_empty_where_none_answers(shared: FakeOllama) -> None:
    assert read_versions(Command(command_of(shared).executable, "127.0.0.1:9")) == Versions("0.32.5", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("echo llama farm 3", "llama farm 3"),
        ("printf '\\033[1mbold\\033[0m\\nclaim'", "bold claim"),
        ("echo 'panic: $HOME is not defined' >&2; exit 2", "panic: $HOME is not defined"),
        ("exit 1", ""),
    ],
)
def test_what_is_no_ollama_is_told_with_its_own_words(tmp_path: Path, text: str, message: str) -> None:
    command = script(tmp_path, text)
    with pytest.raises(ImagegenError) as caught:
        read_versions(command)
    assert caught.value.problems[0].what == f"{command.executable} is not an Ollama: --version prints '{message}'"


@pytest.mark.parametrize(("version", "has"), [("0.14.2", False), ("0.14.3", True), ("0.32.5", True), ("0.32.6", False)])
def test_the_flags_for_images_are_looked_for_without_a_server(tmp_path: Path, version: str, has: bool) -> None:
    executable = FakeOllama(tmp_path / "ollama", version).bin / "ollama"
    assert has_image_flags(Command(str(executable), "127.0.0.1:9")) is has


def test_models_are_listed_by_name_and_tag(shared: FakeOllama) -> None:
    digest = shared.model()
    assert list_models(command_of(shared))[f"{MODEL}:latest"] == ListedModel(digest[:12], "12 GB")


def test_no_models_are_no_rows(tmp_path: Path) -> None:
    assert list_models(saying(tmp_path, "NAME    ID    SIZE    MODIFIED \n")) == {}


def test_odd_rows_do_no_harm(tmp_path: Path) -> None:
    text = (
        "NAME                       ID              SIZE      MODIFIED     \n"
        "minimax-m2:cloud           698602ff1bce    -         2 weeks ago  \n"
        "\n"
        "x/a-name-that-is-as-long-as-the-column:latest    0123456789ab    5.7 GB    Less than a second ago\n"
        "some words\n"
        "two  columns\n"
        "名前:latest    abcdefabcdef    12 GB    3 days ago\r\n"
    )
    assert list_models(saying(tmp_path, text)) == {
        "minimax-m2:cloud": ListedModel("698602ff1bce", "-"),
        "x/a-name-that-is-as-long-as-the-column:latest": ListedModel("0123456789ab", "5.7 GB"),
        "名前:latest": ListedModel("abcdefabcdef", "12 GB"),
    }


def test_a_list_that_fails_says_why(shared: FakeOllama) -> None:
    with pytest.raises(ImagegenError, match="ollama list: could not connect to ollama server"):
        list_models(Command(command_of(shared).executable, "127.0.0.1:9"))


def test_what_a_model_can_do_and_its_licence(shared: FakeOllama) -> None:
    assert show_model(command_of(shared), MODEL) == ModelDetails(("image",), "Apache License Version 2.0, January 2004")


def test_a_model_without_a_licence_shows_none(ollama: FakeOllama) -> None:
    ollama.model("x/free", licence="")
    assert show_model(command_of(ollama), "x/free") == ModelDetails(("image",), "")


def test_nothing_is_known_where_a_newer_one_refuses_to_show(shared: FakeOllama) -> None:
    newer = shared.install(shared.folder / "newest", "0.32.15")
    assert show_model(Command(str(newer), shared.host), MODEL) == ModelDetails()


def test_a_licence_is_one_short_line_of_plain_text(tmp_path: Path) -> None:
    text = (
        f"  Capabilities\n    image    \n    vision    \n\n  License\n    \u202eevil {'x' * 500}\n    two\n    three\n"
    )
    found = show_model(saying(tmp_path, text), MODEL)
    assert found.capabilities == ("image", "vision")
    assert found.licence.startswith("evil xxx")
    assert len(found.licence) == 120
