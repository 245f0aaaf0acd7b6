"""That the fake sd-server is what the real one is known to be. Those with `either` ask the real one too, if it is named."""

from __future__ import annotations

import base64
import io
import json
import signal
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.backends.sd.fake_sd_server.fixture import FakeSd, until
from tests.backends.sd.model_files import truncate, write_model
from tests.backends.sd.project import SdProject

pytestmark = pytest.mark.long  # what only tests a fake server, CI need not run each time

Answer = tuple[int, Any]


JSON = "application/json"


def ask(url: str, path: str, body: object = None, data: bytes | None = None, kind: str = JSON) -> Answer:
    sent = json.dumps(body).encode() if body is not None else data
    request = urllib.request.Request(url + path, sent, {"Content-Type": kind})  # noqa: S310 - a test's own server
    try:
        with urllib.request.urlopen(request, timeout=600) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        said = error.read()
        return error.code, json.loads(said) if said else None


def wanted(**changes: Any) -> dict[str, Any]:
    sample = {"sample_steps": 1, "sample_method": "euler", "guidance": {"txt_cfg": 7.0}} | changes.pop("sample", {})
    return {"prompt": "a cat", "seed": 42, "width": 64, "height": 64, "sample_params": sample} | changes


def finish(url: str, job: str) -> dict[str, Any]:
    """Wait until a job has ended, and return what the server says of it."""
    found: dict[str, Any] = {}

    def has_ended() -> bool:
        found.update(ask(url, f"/sdcpp/v1/jobs/{job}")[1])
        return found["status"] not in ("queued", "generating")

    until(has_ended, 600)
    return found


def generate(url: str, body: dict[str, Any]) -> tuple[bytes, Image.Image]:
    """Return the pixels of an image, and the image."""
    status, job = ask(url, "/sdcpp/v1/img_gen", body)
    assert status == 202, job
    data = base64.b64decode(finish(url, job["id"])["result"]["images"][0]["b64_json"])
    image = Image.open(io.BytesIO(data))
    return image.convert("RGB").tobytes(), image


@pytest.fixture
def url(either: SdProject) -> str:
    write_model(either.models / "loras/tint.safetensors", "lora")
    loras = str(either.models / "loras")
    model = str(either.models / "checkpoints/one.safetensors")
    return either.server.start("-m", model, "--lora-model-dir", loras, "--lora-apply-mode", "at_runtime")


def test_what_it_says_of_itself(url: str, either: SdProject) -> None:
    status, found = ask(url, "/sdcpp/v1/capabilities")
    assert status == 200
    assert found["model"]["path"] == str(either.models / "checkpoints/one.safetensors")
    assert {"euler", "euler_a", "dpm++2m"} <= set(found["samplers"])
    assert {"discrete", "karras"} <= set(found["schedulers"])
    assert found["loras"] == [{"name": "tint", "path": "tint.safetensors"}]
    assert ask(url, "/sdcpp/v1/nope") == (404, None)


def test_what_it_honours_and_what_it_ignores_without_a_word(url: str) -> None:
    pixels, image = generate(url, wanted())
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (64, 64))
    assert image.info["parameters"].startswith("a cat\nSteps: 1, CFG scale: 7.000000, ")
    for ignored in (
        {},
        {"foo": 1},
        {"seed": "7"},
        {"seed": 2**64 + 1},
        {"clip_skip": 1},
        {"sample": {"scheduler": "nope"}},
        {"sample": {"guidance": {"txt_cfg": "8"}}},
        {"ref_images": [_in_base64(image)]},
        {"init_image": None},
    ):
        assert generate(url, wanted(**ignored))[0] == pixels, ignored
    for honoured in (
        {"prompt": "a dog"},
        {"negative_prompt": "ugly"},
        {"seed": 43},
        {"clip_skip": 2},
        {"sample": {"sample_steps": 2}},
        {"sample": {"guidance": {"txt_cfg": 3.0}}},
        {"init_image": _in_base64(image), "strength": 0.9},
        {"lora": [{"path": "tint.safetensors", "multiplier": 50.0}]},
    ):
        assert generate(url, wanted(**honoured))[0] != pixels, honoured
    unknown = generate(url, wanted(sample={"sample_steps": 2, "sample_method": "Euler"}))[0]
    assert unknown == generate(url, wanted(sample={"sample_steps": 2, "sample_method": "euler_a"}))[0]
    assert unknown != generate(url, wanted(sample={"sample_steps": 2}))[0]


def test_sizes_are_rounded_up_without_a_word(url: str) -> None:
    assert generate(url, wanted(width=70, height=66))[1].size == (128, 128)


def test_a_seed_that_63_bits_do_not_hold_is_another_one(url: str) -> None:
    assert "Seed: 9223372036854775807," in generate(url, wanted(seed=2**63 - 1))[1].info["parameters"]
    assert "Seed: 9223372036854775808," not in generate(url, wanted(seed=2**63))[1].info["parameters"]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"", 400, "empty body"),
        (b'{"a":', 400, "invalid json"),
        (b"[]", 500, "server_error"),
        (wanted(strength=2.0), 400, "invalid generation parameters"),
        (wanted(sample={"guidance": {"txt_cfg": -1}}), 400, "invalid generation parameters"),
        (wanted(lora=[{"path": "tint"}]), 400, "invalid generation parameters"),
        (wanted(lora="tint.safetensors"), 400, "invalid generation parameters"),
        (wanted(init_image="!!!!"), 400, "invalid generation parameters"),
        (wanted(init_image="aGVsbG8="), 400, "invalid generation parameters"),
        (wanted(output_format="jpg"), 400, "invalid output_format, must be one of [png, jpeg, webp]"),
    ],
)
def test_what_it_refuses(url: str, body: Any, status: int, error: str) -> None:
    sent = {"data": body} if isinstance(body, bytes) else {"body": body}
    found, answer = ask(url, "/sdcpp/v1/img_gen", **sent)
    assert (found, answer["error"]) == (status, error)


def test_a_long_body_has_to_say_that_it_is_json(url: str) -> None:
    body = wanted(prompt="cat " * 3000)
    assert ask(url, "/sdcpp/v1/img_gen", body, kind="application/x-www-form-urlencoded") == (413, None)


def test_one_image_at_a_time_and_only_what_waits_can_be_cancelled(url: str, either: SdProject) -> None:
    gate = either.server.pause_at(42)
    jobs = [ask(url, "/sdcpp/v1/img_gen", wanted(sample={"sample_steps": 8}))[1]["id"] for _ in range(3)]
    first, second, third = (f"/sdcpp/v1/jobs/{job}" for job in jobs)
    assert ask(url, f"{third}/cancel", {})[1]["status"] == "cancelled"
    assert ask(url, third)[1]["error"] == {"code": "cancelled", "message": "job cancelled by client"}
    either.server.resume(gate)
    assert [finish(url, job)["status"] for job in jobs[:2]] == ["completed", "completed"]
    assert ask(url, f"{first}/cancel", {})[0] == 200
    assert ask(url, second)[1]["queue_position"] == 0
    assert ask(url, "/sdcpp/v1/jobs/job_0") == (404, {"error": "job not found"})


def test_an_image_in_progress_cannot_be_cancelled_and_the_queue_has_an_end(project: SdProject) -> None:
    project.fake.play(queue=2, ttl_s=0)
    url = project.fake.start("-m", str(project.models / "checkpoints/one.safetensors"))
    gate = project.fake.hold()
    job, waiting = (ask(url, "/sdcpp/v1/img_gen", wanted())[1]["id"] for _ in range(2))
    project.fake.wait_held(gate)
    assert ask(url, f"/sdcpp/v1/jobs/{job}")[1]["status"] == "generating"
    assert ask(url, f"/sdcpp/v1/jobs/{waiting}")[1]["queue_position"] == 1
    assert ask(url, f"/sdcpp/v1/jobs/{job}/cancel", {})[0] == 409
    assert ask(url, "/sdcpp/v1/img_gen", wanted()) == (429, {"error": "job queue is full"})
    project.fake.open(gate)
    until(lambda: ask(url, f"/sdcpp/v1/jobs/{waiting}") == (410, {"error": "job expired"}))


@pytest.mark.parametrize(
    ("prepare", "words", "code"),
    [
        (lambda path: path.unlink(), "get sd version from file failed", 1),
        (lambda path: path.write_bytes(b"<html>"), "init model loader from file failed", 1),
        (truncate, "read tensor data failed", 1),
        (lambda path: write_model(path, "lora"), "get sd version from file failed", 1),
        (lambda path: write_model(path, "sd1_unet"), "get sd version from file failed", 1),
    ],
    ids=["missing", "not a model", "truncated", "a LoRA", "without its encoder"],
)
def test_what_cannot_be_loaded_ends_it_in_words(
    fake: FakeSd, tmp_path: Path, prepare: Any, words: str, code: int
) -> None:
    model = write_model(tmp_path / "one.safetensors")
    prepare(model)
    ran = fake.run("-m", str(model))
    assert ran.returncode == code
    assert words in ran.stderr
    assert ran.stderr.splitlines()[-1] == "[ERROR] main.cpp:92   - new_sd_ctx_t failed"
    assert "listening on" not in ran.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["-h"], 0, "invalid parameter for argument: -h"),
        (["-m", "x", "--foo"], 1, "[ERROR] common.cpp:290  - error: unknown argument: --foo"),
        (["-m", "x", "--rng", "abc"], 1, "error: invalid rng type abc"),
        (["-m", "x", "-t", "abc"], -signal.SIGABRT, "  what():  stoi"),
        ([], 1, "error: the following arguments are required: model_path/diffusion_model"),
    ],
)
def test_its_command_line(fake: FakeSd, words: list[str], code: int, said: str) -> None:
    ran = fake.run(*words)
    assert ran.returncode == code
    assert said in ran.stderr
    if code >= 0:
        assert ran.stdout.startswith("stable-diffusion.cpp version master-525-0752cc9, commit 0752cc9\nUsage: ")


def test_a_port_that_is_taken_ends_it_without_a_word(fake: FakeSd, tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        model = str(write_model(tmp_path / "one.safetensors"))
        ran = fake.run("-m", model, "--listen-port", str(taken.getsockname()[1]))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "listening on: 127.0.0.1:" in ran.stdout


@pytest.mark.parametrize(("kind", "multiple"), [("flux", 8), ("flux2_klein", 16), ("z_image", 8), ("qwen_image", 8)])
@pytest.mark.parametrize("suffix", ["safetensors", "gguf"])
def test_models_in_several_files(fake: FakeSd, tmp_path: Path, kind: Any, multiple: int, suffix: str) -> None:
    model = str(write_model(tmp_path / f"model.{suffix}", kind))
    vae, llm = str(write_model(tmp_path / "vae.safetensors", "vae")), str(write_model(tmp_path / "llm.gguf", "llm"))
    without = fake.run("--diffusion-model", model, "--llm", llm)
    assert "tensor 'first_stage_model.decoder.conv_in.weight' not in model file" in without.stderr
    url = fake.start("--diffusion-model", model, "--vae", vae, "--llm", llm)
    width, height = generate(url, wanted(width=70, height=64))[1].size
    assert (width, height) == (70 + -70 % multiple, 64)


def test_loras_leave_the_weights_changed_unless_applied_at_runtime(fake: FakeSd, tmp_path: Path) -> None:
    model = str(write_model(tmp_path / "one.safetensors"))
    write_model(tmp_path / "loras/tint.safetensors", "lora")
    for mode, is_same in (("auto", False), ("at_runtime", True)):
        url = fake.start("-m", model, "--lora-model-dir", str(tmp_path / "loras"), "--lora-apply-mode", mode)
        before = generate(url, wanted())[0]
        generate(url, wanted(lora=[{"path": "tint.safetensors", "multiplier": 1.0}]))
        assert (generate(url, wanted())[0] == before) == is_same


def _in_base64(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
