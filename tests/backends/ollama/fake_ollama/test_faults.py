"""That the fake Ollama fails as the real one does."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from tests.backends.ollama.fake_ollama.fixture import FakeOllama
from tests.backends.ollama.fake_ollama.test_fake_ollama import MODEL, SMALL, error, files
from tests.backends.ollama.parts import until

pytestmark = pytest.mark.long  # what only tests a fake server, CI need not run each time


@pytest.mark.parametrize("kind", ["no-image", "early-end"])
def test_no_image_and_no_error(ollama: FakeOllama, tmp_path: Path, kind: str) -> None:
    ollama.fault(kind, times=1)
    result = ollama.run("run", MODEL, "a cat", *SMALL, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "")
    assert "Generating" in result.stderr
    assert "Error" not in result.stderr
    assert files(tmp_path) == ["ollama"]
    assert ollama.run("run", MODEL, "a cat", *SMALL, cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("kind", "details", "message"),
    [
        ("http", {"text": "boom"}, "500 Internal Server Error: boom"),
        ("http", {"status": 400, "text": "boom"}, "400 Bad Request: boom"),
        ("busy", {}, "503 Service Unavailable: server busy, please try again.  maximum pending requests exceeded"),
        ("mid-stream", {"text": "it broke"}, "it broke"),
        ("server-dies", {}, "unexpected EOF"),
        ("large", {}, "bufio.Scanner: token too long"),
        (
            "memory",
            {"need": "11.9 GiB", "have": "7.1 GiB"},
            "500 Internal Server Error: model requires 11.9 GiB but only 7.1 GiB are available (after 512.0 MiB overhead)",
        ),
        (
            "runner-memory",
            {"need": 21, "have": 16},
            "500 Internal Server Error: mlx runner failed: Error: failed to create server: failed to load image model: "
            "insufficient memory for image generation: need 21 GB, have 16 GB (exit: exit status 1)",
        ),
    ],
)
def test_what_the_server_says(ollama: FakeOllama, kind: str, details: dict[str, Any], message: str) -> None:
    ollama.fault(kind, **details)
    assert error(ollama.run("run", MODEL, "a cat", *SMALL)) == message


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("0.17.0", "MLX runner not available: build with mlx tag"),
        ("0.20.0", "failed to initialize MLX: libmlxc.so not found"),
        ("0.32.5", "failed to initialize MLX: failed to load MLX dynamic library (searched: [/usr/local/lib/ollama])"),
    ],
)
def test_without_the_mlx_library(fake: FakeOllama, version: str, message: str) -> None:
    fake.library.unlink()
    fake.model()
    fake.client(version)
    fake.start_server()
    result = fake.run("run", MODEL, "a cat")
    assert error(result) == f"500 Internal Server Error: mlx runner failed: Error: {message} (exit: exit status 1)"


@pytest.mark.parametrize(("kind", "reason"), [("directory-gone", "open a-cat-"), ("disk-full", "write a-cat-")])
def test_an_image_that_cannot_be_saved(ollama: FakeOllama, tmp_path: Path, kind: str, reason: str) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    ollama.fault(kind)
    assert error(ollama.run("run", MODEL, "a cat", *SMALL, cwd=folder)).startswith(f"failed to save image: {reason}")
    assert folder.exists() == (kind == "disk-full")


def test_images_that_are_none(ollama: FakeOllama, tmp_path: Path) -> None:
    for kind in ("cut", "other-size", "not-png", "two-files"):
        ollama.fault(kind, kind)

    def made(kind: str) -> list[Path]:
        folder = tmp_path / kind
        folder.mkdir()
        assert ollama.run("run", MODEL, kind, *SMALL, cwd=folder).returncode == 0
        return sorted(folder.iterdir())

    with Image.open(made("cut")[0]) as image, pytest.raises(OSError, match="truncated"):
        image.load()
    with Image.open(made("other-size")[0]) as image:
        assert image.size == (16, 24)
    assert made("not-png")[0].read_bytes().startswith(b"GIF89a")
    assert len(made("two-files")) == 2


def test_a_fault_is_only_for_prompts_with_its_word(ollama: FakeOllama) -> None:
    ollama.fault("http", "cat", text="no cats")
    assert ollama.run("run", MODEL, "a dog", *SMALL).returncode == 0
    assert ollama.run("run", MODEL, "a cat", *SMALL).returncode == 1
    ollama.hint()
    assert ollama.run("run", MODEL, "a cat", *SMALL).returncode == 0


def test_a_run_that_ignores_sigterm_and_has_a_child(ollama: FakeOllama) -> None:
    for kind in ("stubborn", "child", "hang"):
        ollama.fault(kind)
    process = ollama.start("run", MODEL, "a cat", *SMALL, start_new_session=True)
    try:
        until(lambda: ollama.events[-1:] and ollama.events[-1]["event"] == "start")
        (child,) = ollama.children
        (call,) = ollama.called("run")
        assert (call.pid, call.group) == (process.pid, process.pid)
        process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        assert call.alive
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)
    assert not ollama.called("run")[0].alive


def test_a_server_that_takes_a_request_and_never_answers(ollama: FakeOllama) -> None:
    ollama.fault("silent", "/api/version")
    with ollama.start("--version") as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.kill()
    assert ollama.run("list").returncode == 0
