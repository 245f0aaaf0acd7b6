"""That the fake Ollama is what the real one is known to be."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.backends.ollama.fake_ollama.fixture import FakeOllama
from tests.backends.ollama.parts import until

pytestmark = pytest.mark.long  # what only tests a fake server, CI need not run each time

MODEL = "x/z-image-turbo"
SMALL = ("--width", "32", "--height", "48", "--steps", "2")
DOWN = "Error: could not connect to ollama server, run 'ollama serve' to start it\n"
UNSUPPORTED = "image generation models are not currently supported"


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def error(result: Any) -> str:
    """What it failed with."""
    assert result.returncode == 1
    return re.split(r"(?<!Server )Error: ", plain(result.stderr), maxsplit=1)[1].strip()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- an image ------------------------------------------------------------------------------------------------------


def test_an_image_is_saved_in_the_working_directory(shared: FakeOllama, tmp_path: Path) -> None:
    result = shared.run("run", MODEL, "A cat, 2 hats!", *SMALL, "--seed", "7", cwd=tmp_path)
    assert result.returncode == 0
    name = result.stdout.removeprefix("Image saved to: ").strip()
    assert re.fullmatch(r"a-cat-2-hats-\d{8}-\d{6}\.png", name)
    with Image.open(tmp_path / name) as image:
        image.load()
        assert (image.format, image.size) == ("PNG", (32, 48))
        assert len(image.getcolors() or []) > 2


def test_the_same_request_makes_the_same_pixels_and_any_other_another(ollama: FakeOllama, tmp_path: Path) -> None:
    ollama.model("x/other")

    def pixels(model: str, prompt: str, *flags: str) -> bytes:
        folder = Path(os.path.realpath(tmp_path / f"{len(list(tmp_path.iterdir()))}"))
        folder.mkdir()
        assert ollama.run("run", model, prompt, *SMALL, *flags, cwd=folder).returncode == 0
        (file,) = folder.iterdir()
        return file.read_bytes()

    first = pixels(MODEL, "a cat", "--seed", "1")
    assert pixels(MODEL, "a cat", "--seed", "1", "--negative", "dogs") == first
    others = [("x/other", "a cat", "1"), (MODEL, "a dog", "1"), (MODEL, "a cat", "2"), (MODEL, "a cat", "0")]
    assert all(pixels(model, prompt, "--seed", seed) != first for model, prompt, seed in others)
    assert ollama.images[-1]["seed"] == 0


@pytest.mark.parametrize(
    ("flags", "size", "steps"),
    [
        ([], (1024, 1024), 9),
        (["--width", "0", "--height", "-5", "--steps", "-1"], (1024, 1024), 9),
        (["--width=64", "--height", str(2**32 + 32), "--steps", "3"], (64, 32), 3),
    ],
)
def test_sizes_and_steps(shared: FakeOllama, flags: list[str], size: tuple[int, int], steps: int) -> None:
    assert shared.run("run", MODEL, "a cat", *flags).returncode == 0
    image = shared.images[-1]
    assert ((image["width"], image["height"]), image["steps"]) == (size, steps)


def test_a_size_over_4096_is_rejected(shared: FakeOllama) -> None:
    result = shared.run("run", MODEL, "a cat", "--width", "4112")
    assert error(result) == "400 Bad Request: width and height must be <= 4096"


def test_flux_rounds_without_a_word(ollama: FakeOllama, tmp_path: Path) -> None:
    ollama.model("x/flux2-klein", architecture="Flux2KleinPipeline")
    result = ollama.run("run", "x/flux2-klein", "a cat", "--width", "100", "--height", "40", cwd=tmp_path)
    with Image.open(tmp_path / result.stdout.removeprefix("Image saved to: ").strip()) as image:
        assert image.size == (96, 48)
    assert ollama.images[0]["steps"] == 4


def test_progress_comes_with_control_sequences_also_into_a_pipe(shared: FakeOllama) -> None:
    result = shared.run("run", MODEL, "a cat", *SMALL[:4], "--steps", "4")
    assert "\x1b[" in result.stderr
    assert re.search(r"Generating  25% ▕█   ▏ 1/4", result.stderr)
    assert result.stderr.endswith("\x1b[?25h")


def test_an_error_follows_the_control_sequences_on_the_same_line(ollama: FakeOllama) -> None:
    ollama.fault("mid-stream", text="oh no")
    assert ollama.run("run", MODEL, "a cat", *SMALL).stderr.endswith("\x1b[?25hError: oh no\n")


@pytest.mark.parametrize(
    ("variables", "start"),
    [
        ({"TERM_PROGRAM": "iTerm.app"}, "\x1b]1337;File=inline=1"),
        ({"TERM_PROGRAM": "WezTerm"}, "\x1b]1337;File=inline=1"),
        ({"WEZTERM_PANE": "0"}, "\x1b]1337;File=inline=1"),
        ({"KITTY_WINDOW_ID": "1"}, "\x1b_Ga=T,f=100,m=0;"),
        ({"GHOSTTY_RESOURCES_DIR": "/x"}, "\x1b_Ga=T,f=100,m=0;"),
        ({"TERM_PROGRAM": "ghostty"}, "\x1b_Ga=T,f=100,m=0;"),
        ({"TERM_PROGRAM": "Apple_Terminal"}, "Image saved to: "),
    ],
)
def test_terminals_that_show_images_get_the_whole_image_first(
    shared: FakeOllama, variables: dict[str, Any], start: str
) -> None:
    result = shared.run("run", MODEL, "a cat", *SMALL, **variables)
    assert result.stdout.startswith(start)
    assert "\nImage saved to: " in f"\n{result.stdout}"


# -- its name ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("-a- cat\nand dog", "-a--catand-dog"),
        ("x" * 60, "x" * 50),
        ("猫 は", "-"),
        ("  Émile  ", "mile"),
        ("🐈", ""),
    ],
)
def test_the_file_is_named_after_the_prompt(shared: FakeOllama, tmp_path: Path, prompt: str, name: str) -> None:
    assert shared.run("run", MODEL, *SMALL, "--", prompt, cwd=tmp_path).returncode == 0
    (found,) = [file for file in files(tmp_path) if file.endswith(".png")]
    assert re.fullmatch(re.escape(name) + r"-\d{8}-\d{6}\.png", found)
    assert shared.images[-1]["prompt"] == prompt.strip()


def test_the_name_has_the_local_time(shared: FakeOllama, tmp_path: Path) -> None:
    west, east = (shared.run("run", MODEL, "a cat", *SMALL, cwd=tmp_path, TZ=zone) for zone in ("XXX+12", "XXX-12"))
    assert west.stdout[:31] != east.stdout[:31]


def test_the_same_prompt_in_the_same_second_overwrites(shared: FakeOllama, tmp_path: Path) -> None:
    for _ in range(5):  # a second may end between the two
        results = [shared.run("run", MODEL, "a cat", *SMALL, cwd=tmp_path).stdout for _ in range(2)]
        if results[0] == results[1]:
            break
    else:
        pytest.skip("this machine is too busy to make two in one second")
    assert len({path for path in tmp_path.glob("*.png") if path.name in results[0]}) == 1


# -- its prompt ----------------------------------------------------------------------------------------------------


def test_words_are_joined_and_standard_input_comes_first(shared: FakeOllama) -> None:
    shared.run("run", MODEL, "a", "--width", "32", "cat", *SMALL, stdin="see:")
    assert shared.images[-1]["prompt"] == "see: a cat"


def test_a_pipe_that_never_closes_hangs(ollama: FakeOllama) -> None:
    with ollama.start("run", MODEL, "a cat", stdin=subprocess.PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.kill()
    assert ollama.images == []


def test_a_prompt_that_starts_with_a_hyphen_needs_two_before_it(shared: FakeOllama) -> None:
    assert error(shared.run("run", MODEL, "-a cat")) == "unknown shorthand flag: 'a' in -a cat"
    assert shared.run("run", MODEL, *SMALL, "--", "--width").returncode == 0
    assert shared.images[-1]["prompt"] == "--width"


def test_no_prompt_is_an_error(shared: FakeOllama) -> None:
    assert error(shared.run("run", MODEL)).startswith("image generation models require a prompt. ")


@pytest.mark.parametrize(
    ("prompt", "left"),
    [
        ("a cat like ./x.png at night", "a cat like  at night"),
        ("like./x.png", "like"),
        ("both ./x y.png", "both"),
        ("and/or ./x.png", "and/or ./x.png"),  # what matches begins at the first slash, and is no file
        ("./x.png", None),  # with no word left, nothing is made
    ],
)
def test_a_file_that_the_prompt_names_is_cut_out(
    ollama: FakeOllama, tmp_path: Path, prompt: str, left: str | None
) -> None:
    for name in ("x.png", "x y.png"):
        Image.new("RGB", (1, 1)).save(tmp_path / name)
    result = ollama.run("run", MODEL, prompt, *SMALL, cwd=tmp_path)
    assert result.returncode == 0
    assert [image["prompt"] for image in ollama.images] == ([] if left is None else [left])
    assert ("Added image './x" in result.stderr) == (left != prompt)


@pytest.mark.parametrize("prompt", ["./gone.png", "a/b.jpg", "x.png", "/nowhere/a cat.webp", "\\x.jpeg"])
def test_a_file_that_is_not_there_stays_in_the_prompt(shared: FakeOllama, tmp_path: Path, prompt: str) -> None:
    assert shared.run("run", MODEL, prompt, *SMALL, cwd=tmp_path).returncode == 0
    assert shared.images[-1]["prompt"] == prompt


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("./text.png", "invalid image type: text/plain; charset=utf-8"),
        ("./empty.png", "EOF"),
        ("./folder.png", "is a directory"),
        (f"/{'x' * 300}.png", "file name too long"),
    ],
)
def test_a_file_that_cannot_be_read_ends_the_run(shared: FakeOllama, tmp_path: Path, prompt: str, reason: str) -> None:
    (tmp_path / "text.png").write_text("text")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    assert reason in error(shared.run("run", MODEL, prompt, *SMALL, cwd=tmp_path))


# -- its command line ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", MODEL, "cat", "--guidance", "3"], "unknown flag: --guidance"),
        (["run", MODEL, "cat", "--width"], "flag needs an argument: --width"),
        (
            ["run", MODEL, "cat", "--seed", "x"],
            'invalid argument "x" for "--seed" flag: strconv.ParseInt: parsing "x": invalid syntax',
        ),
        (["run", MODEL, "cat", "--keepalive", "5"], 'time: missing unit in duration "5"'),
        (["run", MODEL, "cat", "--keepalive", "soon"], 'time: invalid duration "soon"'),
        (["run"], "requires at least 1 arg(s), only received 0"),
        (["paint"], 'unknown command "paint" for "ollama"'),
        (["run", "a b", "cat"], "invalid model name"),
        (["show", "nope"], "model 'nope:latest' not found"),
        (["stop", "nope"], 'couldn\'t find model "nope" to stop'),
    ],
)
def test_wrong_use(shared: FakeOllama, arguments: list[str], message: str) -> None:
    assert error(shared.run(*arguments)) == message


@pytest.mark.parametrize(
    ("version", "reported", "parsed"),
    [
        ("0.14.1", False, False),
        ("0.14.2", False, True),
        ("0.14.3", True, True),
        ("0.32.5", True, True),
        ("0.32.6", False, False),
        ("0.32.15", False, False),
    ],
)
def test_which_versions_know_the_image_flags(fake: FakeOllama, version: str, reported: bool, parsed: bool) -> None:
    fake.client(version)
    help_text = fake.run("run", "--help")
    assert help_text.returncode == 0
    assert ("--width int" in help_text.stdout) == reported
    assert error(fake.run("run", MODEL, "--width", "8")) == (DOWN[7:-1] if parsed else "unknown flag: --width")


def test_without_home_it_panics(fake: FakeOllama) -> None:
    environment = fake.environment
    del environment["HOME"], environment["OLLAMA_MODELS"]
    result = subprocess.run([fake.bin / "ollama", "list"], env=environment, capture_output=True, check=False)
    assert result.returncode == 2
    assert b"panic: $HOME is not defined" in result.stderr


@pytest.mark.parametrize("command", ["list", "run", "pull", "show", "stop"])
def test_all_need_a_server(fake: FakeOllama, command: str) -> None:
    result = fake.run(*([command] if command == "list" else [command, MODEL]))
    assert (result.returncode, result.stderr) == (1, DOWN)


# -- versions ------------------------------------------------------------------------------------------------------


def test_the_version_is_the_servers(fake: FakeOllama) -> None:
    down = "Warning: could not connect to a running Ollama instance\nWarning: client version is 0.32.5\n"
    assert fake.run("--version").stdout == down
    with fake.served():
        assert fake.run("--version").stdout == "ollama version is 0.32.5\n"
        fake.client("0.32.15")
        other = "ollama version is 0.32.5\nWarning: client version is 0.32.15\n"
        assert fake.run("--version").stdout == other
    assert [call.code for call in fake.called("--version")] == [0, 0, 0]


@pytest.mark.parametrize(
    ("client", "server", "message"),
    [
        ("0.14.3", "0.14.3", ""),
        ("0.32.5", "0.32.6", f"400 Bad Request: {UNSUPPORTED}"),
        ("0.32.15", "0.32.15", UNSUPPORTED),
        ("0.32.6", "0.32.5", UNSUPPORTED),
        ("0.16.0", "0.16.0", "500 Internal Server Error: mlx runner failed:   model.norm.weight (exit: exit status 1)"),
    ],
)
def test_which_versions_make_images(fake: FakeOllama, client: str, server: str, message: str) -> None:
    fake.client(client)
    fake.model()
    fake.start_server(server)
    result = fake.run("run", MODEL, "a cat")
    assert (error(result) if message else result.returncode) == (message or 0)
    assert bool(fake.images) == (not message)
    assert MODEL in fake.run("list").stdout
    assert fake.ask("/api/tags")["models"][0]["capabilities"] == ["image"]


def test_0_23_1_counts_to_the_end_and_makes_nothing(fake: FakeOllama) -> None:
    fake.client("0.23.1")
    fake.model()
    fake.start_server()
    result = fake.run("run", MODEL, "a cat", *SMALL)
    assert (result.returncode, result.stdout) == (0, "")
    assert "100%" in result.stderr


# -- models --------------------------------------------------------------------------------------------------------


def test_a_models_id_is_the_digest_of_its_manifest(shared: FakeOllama) -> None:
    manifest = shared.models / "manifests/registry.ollama.ai/x/z-image-turbo/latest"
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    head, line = shared.run("list").stdout.splitlines()
    assert re.split(r" {2,}", head.strip()) == ["NAME", "ID", "SIZE", "MODIFIED"]
    assert re.split(r" {2,}", line.strip())[:3] == ["x/z-image-turbo:latest", digest[:12], "12 GB"]
    assert shared.ask("/api/tags")["models"][0]["digest"] == digest


@pytest.mark.parametrize(
    ("name", "path", "shown"),
    [
        ("llama3", "registry.ollama.ai/library/llama3/latest", "llama3:latest"),
        ("x/flux2-klein:4b", "registry.ollama.ai/x/flux2-klein/4b", "x/flux2-klein:4b"),
        ("hf.co/a/b:Q4", "hf.co/a/b/Q4", "hf.co/a/b:Q4"),
        ("host:5000/a/b", "host:5000/a/b/latest", "host:5000/a/b:latest"),
    ],
)
def test_where_a_manifest_lies(fake: FakeOllama, name: str, path: str, shown: str) -> None:
    fake.model(name)
    assert (fake.models / "manifests" / path).is_file()
    fake.start_server()
    assert f"\n{shown} " in fake.run("list").stdout


def test_list_filters_by_prefix(shared: FakeOllama) -> None:
    assert len(shared.run("list", "X/z-im").stdout.splitlines()) == 2
    assert shared.run("list", "z-image").stdout.split() == ["NAME", "ID", "SIZE", "MODIFIED"]


def test_show_tells_the_capability_and_the_licence(ollama: FakeOllama) -> None:
    shown = ollama.run("show", MODEL).stdout
    assert re.search(r"  Capabilities\n    image +\n\n  License\n    Apache License +\n    Version 2.0", shown)
    assert ollama.run("show", MODEL, "--license").stdout.startswith("Apache License\nVersion 2.0")
    ollama.client("0.32.6")
    assert error(ollama.run("show", MODEL)) == UNSUPPORTED


def test_a_language_model_answers_in_words(ollama: FakeOllama) -> None:
    ollama.model("llama3", capability="completion", licence="")
    shown = ollama.run("show", "llama3").stdout
    assert "    completion" in shown
    assert "License" not in shown
    result = ollama.run("run", "llama3", "a cat")
    assert (result.returncode, result.stdout) == (0, "I am a language model.\n\n")


def test_pull_tells_how_far_it_is(ollama: FakeOllama) -> None:
    ollama.model("x/flux2-klein", pulled=False, size=5_700_000_000)
    result = ollama.run("pull", "x/flux2-klein")
    assert (result.returncode, result.stdout) == (0, "")
    message = plain(result.stderr)
    assert re.search(r"pulling model:  25% ▕█+ +▏ 1.4 GB/5.7 GB", message)
    assert re.search(r"pulling model: 100% ▕█+▏ 5.7 GB\nwriting manifest \nsuccess \n$", message)
    assert "x/flux2-klein:latest" in ollama.run("list").stdout
    again = plain(ollama.run("pull", "x/flux2-klein").stderr)
    assert "success" in again
    assert "pulling model" not in again


def test_a_model_that_changed_upstream_changes_when_it_is_pulled_again(ollama: FakeOllama) -> None:
    before = ollama.run("list").stdout.splitlines()[1].split()[1]
    ollama.model(pulled=False, revision=2)
    assert ollama.run("list").stdout.splitlines()[1].split()[1] == before
    ollama.run("pull", MODEL)
    assert ollama.run("list").stdout.splitlines()[1].split()[1] != before


def test_run_pulls_what_is_missing(ollama: FakeOllama) -> None:
    ollama.model("x/flux2-klein", pulled=False)
    assert ollama.run("run", "x/flux2-klein", "a cat", *SMALL).returncode == 0
    assert [event["event"] for event in ollama.events] == ["pull", "load", "start", "end"]
    assert error(ollama.run("run", "nope", "a cat")) == "pull model manifest: file does not exist"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("pull-offline", 'pull model manifest: Get "https://registry.ollama.ai/v2/x/new/manifests/latest": dial tcp: '),
        ("pull-disk-full", "max retries exceeded: write "),
    ],
)
def test_a_pull_that_fails_leaves_no_model(ollama: FakeOllama, kind: str, message: str) -> None:
    ollama.model("x/new", pulled=False)
    ollama.fault(kind, "x/new", times=1)
    assert error(ollama.run("pull", "x/new")).startswith(message)
    assert "x/new" not in ollama.run("list").stdout
    assert ollama.run("pull", "x/new").returncode == 0


def test_a_pull_that_is_killed_leaves_no_model(ollama: FakeOllama) -> None:
    ollama.model("x/new", pulled=False)
    ollama.fault("pull-slow", seconds=0.1)
    with ollama.start("pull", "x/new", stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        message = b""
        while b"25%" not in message:
            message += (more := os.read(process.stderr.fileno(), 1000))
            assert more
        process.kill()
    time.sleep(0.6)  # it would be whole by now
    assert "x/new" not in ollama.run("list").stdout
    assert ollama.called("pull")[0].code is None


# -- the server ----------------------------------------------------------------------------------------------------


def test_a_port_that_is_taken(shared: FakeOllama) -> None:
    assert error(shared.run("serve")) == f"listen tcp {shared.host}: bind: address already in use"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_well(ollama: FakeOllama, number: signal.Signals) -> None:
    (serve,) = ollama.called("serve")
    assert serve.alive
    os.kill(serve.pid, number)
    until(lambda: ollama.called("serve")[0].code == 0)


def test_ollama_host_may_be_written_in_other_ways(shared: FakeOllama) -> None:
    port = shared.host.split(":")[1]
    for host in (f"http://127.0.0.1:{port}", f":{port}", f"'localhost:{port}'", f"http://localhost:{port}/"):
        assert shared.run("--version", OLLAMA_HOST=host).stdout == "ollama version is 0.32.5\n"
    assert shared.run("list", OLLAMA_HOST="127.0.0.1:1").stderr == DOWN


def test_a_model_stays_loaded_until_it_is_stopped(ollama: FakeOllama) -> None:
    ollama.run("run", MODEL, "a cat", *SMALL)
    ollama.run("run", MODEL, "a dog", *SMALL)
    assert ollama.loaded == ["x/z-image-turbo:latest"]
    result = ollama.run("stop", MODEL)
    assert (result.returncode, result.stdout, plain(result.stderr).strip(" ⠙\n")) == (0, "", "")
    assert ollama.loaded == []
    assert [e["event"] for e in ollama.events] == ["load", "start", "end", "start", "end", "unload"]


def test_a_keepalive_of_0_releases_it_at_once(ollama: FakeOllama) -> None:
    assert ollama.run("run", MODEL, "a cat", *SMALL, "--keepalive", "0").returncode == 0
    until(lambda: ollama.events[-1]["event"] == "unload")
    assert ollama.loaded == []


def test_images_are_made_one_after_the_other(ollama: FakeOllama) -> None:
    ollama.fault("slow", seconds=0.05)
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda n: ollama.run("run", MODEL, f"cat {n}", *SMALL), range(3)))
    assert [result.returncode for result in results] == [0, 0, 0]
    assert [e["event"] for e in ollama.events] == ["load", *["start", "end"] * 3]


def test_a_client_that_is_killed_gives_its_turn_back(ollama: FakeOllama) -> None:
    ollama.fault("hang", "cat")
    with ollama.start("run", MODEL, "a cat", *SMALL) as process:
        until(lambda: ollama.events[-1:] and ollama.events[-1]["event"] == "start")
        process.terminate()
        assert process.wait(5) == -signal.SIGTERM
    assert ollama.run("run", MODEL, "a dog", *SMALL).returncode == 0


def test_calls_are_recorded(ollama: FakeOllama, tmp_path: Path) -> None:
    ollama.run("run", MODEL, "a cat", *SMALL, cwd=tmp_path, OLLAMA_KEEP_ALIVE="1m", KITTY_WINDOW_ID="3")
    (call,) = ollama.called("run")
    assert call.argv == ["run", MODEL, "a cat", *SMALL]
    assert call.cwd == os.path.realpath(tmp_path)
    assert call.environment["OLLAMA_HOST"] == ollama.host
    assert (call.environment["KITTY_WINDOW_ID"], call.environment["OLLAMA_KEEP_ALIVE"]) == ("3", "1m")
    assert call.end is not None
    assert call.start < call.end
    assert (call.code, call.alive, call.group) == (0, False, os.getpgid(0))


def test_an_archive_of_it_runs_from_where_it_is_unpacked(fake: FakeOllama, tmp_path: Path) -> None:
    archive = tmp_path / "ollama-darwin.tgz"
    digest = fake.archive(archive)
    assert digest == hashlib.sha256(archive.read_bytes()).hexdigest() == fake.archive(archive)
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "tools", filter="data")
    command = [str(tmp_path / "tools/ollama"), "--version"]
    result = subprocess.run(command, env=fake.environment, capture_output=True, text=True, check=True)
    assert "client version is 0.32.5" in result.stdout


def test_nothing_listens_once_it_is_stopped(ollama: FakeOllama) -> None:
    ollama.stop()
    host, port = ollama.host.split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), 1)
