"""Which program answers at a usual port. Real HTTP; the table with other ports, for what runs on this machine is its own business."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from imagegen.backends import find_servers as module
from imagegen.backends.find_servers import USUAL_PORTS, FoundServer, UsualPort, find_servers
from imagegen.config.settings import SETTINGS
from tests.backends.a1111.fake_a1111 import FakeA1111
from tests.backends.comfyui.fake_program import free_port
from tests.backends.image_servers import ANSWERS, serve
from tests.backends.openai.fake_openai import FakeOpenAI
from tests.marks import long


def look(port: int, usual: int) -> FoundServer:
    """Return the row of a port that is asked as this usual one is."""
    (row,) = find_servers({port: USUAL_PORTS[usual]})
    assert (row.ok, row.what, row.hint) == (True, f"port {port}", "")
    return row


def check_settings(row: FoundServer, port: int, backend: str, path: str = "", **others: str) -> None:
    """Check that the row says these settings, all of which exist."""
    expected = {"backend": backend, f"{backend}.server.url": f"http://127.0.0.1:{port}{path}"}
    assert dict(row.settings) == expected | {f"{backend}.{name}": value for name, value in others.items()}
    assert row.settings.keys() <= {setting.name for setting in SETTINGS}


@pytest.mark.parametrize(
    ("usual", "program", "found", "path"),
    [
        (8188, "ComfyUI", "ComfyUI 0.33.0", ""),
        (8000, "ComfyUI", "ComfyUI 0.33.0", ""),
        (7801, "SwarmUI", "SwarmUI, with ComfyUI 0.33.0", "/ComfyBackendDirect"),
    ],
)
def test_comfyui_is_named_with_the_settings_that_use_it(usual: int, program: str, found: str, path: str) -> None:
    with serve(ANSWERS[program]) as (port, seen):
        row = look(port, usual)
    assert row.found == found
    check_settings(row, port, "comfyui", path)
    assert len(seen) <= 2


@pytest.mark.parametrize(
    ("usual", "program", "found", "backend"),
    [
        (7860, "a1111", "A1111", "a1111"),
        (7860, "forge", "Forge", "a1111"),
        (7860, "reforge", "reForge", "a1111"),
        (7860, "sdnext", "SD.Next 0a1b2c3d", "a1111"),
        (7860, "draw-things", "Draw Things", "a1111"),
        (7860, "koboldcpp", "koboldcpp 1.117.1", "a1111"),
        (5001, "koboldcpp", "koboldcpp 1.117.1", "a1111"),
        (8188, "koboldcpp", "koboldcpp 1.117.1", "a1111"),
        (8000, "koboldcpp", "koboldcpp 1.117.1", "a1111"),
        (1234, "sd-server", "sd-server, with sd15.safetensors", "sd"),
    ],
)
def test_a_program_with_a1111s_api_is_named_with_the_settings_that_use_it(
    usual: int, program: str, found: str, backend: str
) -> None:
    with FakeA1111(program) as fake:
        port = int(fake.url.rpartition(":")[2])
        row = look(port, usual)
    assert row.found == found
    check_settings(row, port, backend)
    assert {(one.method, one.authorization) for one in fake.asked} == {("GET", "")}


@pytest.mark.parametrize(
    ("usual", "program", "found", "path"),
    [
        (8080, "localai", "LocalAI v4.2.0 (abc)", "/v1"),
        (13305, "lemonade", "Lemonade 11.7.0", "/api/v1"),
        (8000, "vllm", "vLLM-Omni", "/v1"),
        (30000, "sglang", "SGLang diffusion", "/v1"),
    ],
)
def test_a_program_with_openais_api_is_named_with_its_dialect(usual: int, program: str, found: str, path: str) -> None:
    with FakeOpenAI(program) as fake:
        port = int(fake.origin.rpartition(":")[2])
        row = look(port, usual)
    assert row.found == found
    check_settings(row, port, "openai", path, dialect=program)
    assert {(one.method, one.authorization) for one in fake.asked} == {("GET", None)}
    assert len(fake.asked) <= 2


def test_ollama_is_named_by_its_host() -> None:
    with serve(ANSWERS["Ollama"]) as (port, _):
        row = look(port, 11434)
    assert (row.found, dict(row.settings)) == (
        "Ollama 0.32.5",
        {"backend": "ollama", "ollama.host": f"127.0.0.1:{port}"},
    )


@pytest.mark.parametrize(
    ("usual", "program", "found"),
    [
        (1234, "LM Studio", "LM Studio: it generates no images"),
        (8080, "llama.cpp", "llama.cpp: it generates no images"),
        (8000, "plain vLLM", "vLLM: its model generates no images"),
        (30000, "plain SGLang", "SGLang: its model generates no images"),
    ],
)
def test_a_program_that_generates_no_images_is_named_without_settings(usual: int, program: str, found: str) -> None:
    with FakeOpenAI(program) as fake:
        row = look(int(fake.origin.rpartition(":")[2]), usual)
    assert (row.found, row.settings) == (found, {})
    assert len(fake.asked) <= 2


@pytest.mark.parametrize(
    ("usual", "program", "found"),
    [
        (11434, "Ollama without images", "Ollama 0.33.0: this version generates no images"),
        (
            5001,
            "koboldcpp without an image model",
            "koboldcpp 1.116.1: it has no image model (start it with --sdmodel)",
        ),
        (7801, "SwarmUI without ComfyUI", "SwarmUI: no ComfyUI runs in it"),
    ],
)
def test_a_program_that_cannot_generate_now_is_named_with_the_reason(usual: int, program: str, found: str) -> None:
    with serve(ANSWERS[program], 400 if program.startswith("SwarmUI") else 200) as (port, seen):
        row = look(port, usual)
    assert (row.found, row.settings) == (found, {})
    assert len(seen) == 1


@pytest.mark.parametrize("usual", [5001, 7860, 8000, 8188])
def test_koboldcpp_without_an_image_model_has_no_settings_at_any_port(usual: int) -> None:
    with FakeA1111("koboldcpp") as fake:
        fake.says = {"/api/extra/version": {"result": "KoboldCpp", "version": "1.116.1", "txt2img": False}}
        row = look(int(fake.url.rpartition(":")[2]), usual)
    assert row.found == "koboldcpp 1.116.1: it has no image model (start it with --sdmodel)"
    assert row.settings == {}


@pytest.mark.parametrize("usual", USUAL_PORTS)
@pytest.mark.parametrize(
    "body",
    [
        *map(long, (b"<html>hello", b"", b"[]", b"null", b"{}")),
        b'{"system": 3, "data": [null], "endpoints": [], "result": {}}',
    ],
    ids=["page", "nothing", "list", "null", "empty", "others"],
)
def test_anything_else_is_said_to_be_something_else(usual: int, body: bytes) -> None:
    with serve({"*": body}) as (port, seen):
        row = look(port, usual)
    assert row.found.startswith(f"something else answers, not {USUAL_PORTS[usual].programs}")
    assert row.settings == {}
    assert len(seen) <= 2


def test_that_a1111_runs_without_its_api_is_said_where_one_can_guess() -> None:
    with FakeA1111() as fake:
        fake.has_api = False
        row = look(int(fake.url.rpartition(":")[2]), 7860)
    assert row.found.endswith("; A1111, Forge and reForge have an API only with --api")


def test_a_server_that_wants_a_password_is_not_sent_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A1111_AUTH", "me:secret")
    with FakeA1111(auth="me:secret") as fake:
        port = int(fake.url.rpartition(":")[2])
        row = look(port, 7860)
    begin = "something answers, perhaps A1111 or a relative of it, and asks for authorization"
    assert row.found == f"{begin}: set A1111_AUTH=user:password in the environment"
    check_settings(row, port, "a1111")
    assert [one.authorization for one in fake.asked] == [""]


def test_no_redirect_is_followed() -> None:
    with (
        serve(ANSWERS["ComfyUI"]) as (other, seen),
        serve({"*": {}}, status=302, Location=f"http://127.0.0.1:{other}/system_stats") as (port, _),
    ):
        assert look(port, 8188).found == "something else answers, not ComfyUI"
    assert seen == []


def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve({}) as (proxy, asked), serve(ANSWERS["ComfyUI"]) as (port, _):
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy}")
        assert look(port, 8188).found == "ComfyUI 0.33.0"
    assert asked == []


def test_an_endless_answer_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_ANSWER", 1000)
    with serve({"*": {"system": {"comfyui_version": "x" * 2000}}}) as (port, _):
        assert look(port, 8188).found == "something else answers, not ComfyUI"


def test_what_a_server_says_cannot_fill_the_screen() -> None:
    with serve({"*": {"system": {"comfyui_version": "9\x1b[2J\n" * 200}}}) as (port, _):
        found = look(port, 8188).found
    assert len(found) <= 80
    assert found.isprintable()


def test_a_port_that_listens_and_is_silent_does_not_hold_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ANSWER_S", 0.3)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent, serve(ANSWERS["Ollama"]) as (port, _):
        at = silent.getsockname()[1]
        ports = {at: USUAL_PORTS[8188], port: USUAL_PORTS[11434], free_port(): USUAL_PORTS[7801]}
        first, second = find_servers(ports)
    assert first.found == "something listens, but gives no answer: it did not answer within 0.3 s"
    assert second.found == "Ollama 0.32.5"


def test_nothing_is_found_where_nothing_listens() -> None:
    assert find_servers({free_port(): UsualPort("ComfyUI", lambda _: None)}) == []
