"""Which program answers at a usual port. Real HTTP; the table with other ports, for what runs on this machine is its own business."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing

import pytest

from imagegen.backends import find_servers as module
from imagegen.backends.find_servers import USUAL_PORTS, FoundServer, UsualPort, find_servers
from imagegen.config.settings import SETTINGS
from tests.backends.comfyui.fake_program import free_port
from tests.backends.image_servers import ANSWERS, serve


def look(port: int, usual: int) -> FoundServer:
    """Return the row of a port that is asked as this usual one is."""
    (row,) = find_servers({port: USUAL_PORTS[usual]})
    assert (row.ok, row.what, row.hint) == (True, f"port {port}", "")
    return row


def settings(backend: str, path: str = "", **others: str) -> Callable[[int], dict[str, str]]:
    def of(port: int) -> dict[str, str]:
        url = {f"{backend}.server.url": f"http://127.0.0.1:{port}{path}"}
        return {"backend": backend, **url, **{f"{backend}.{name}": value for name, value in others.items()}}

    return of


@pytest.mark.parametrize(
    ("usual", "program", "found", "expected"),
    [
        (8188, "ComfyUI", "ComfyUI 0.33.0", settings("comfyui")),
        (8000, "ComfyUI", "ComfyUI 0.33.0", settings("comfyui")),
        (7801, "SwarmUI", "SwarmUI, with ComfyUI 0.33.0", settings("comfyui", "/ComfyBackendDirect")),
        (7860, "A1111", "A1111", settings("a1111")),
        (7860, "Forge", "Forge", settings("a1111")),
        (7860, "reForge", "reForge", settings("a1111")),
        (7860, "SD.Next", "SD.Next of 2026-07-23", settings("a1111")),
        (7860, "A1111's API", "a program with A1111's API (sd-server or koboldcpp)", settings("a1111")),
        (7860, "Draw Things", "Draw Things", settings("a1111")),
        (5001, "koboldcpp", "koboldcpp 1.116.1", settings("a1111")),
        (1234, "sd-server", "sd-server, with turbo.gguf", settings("sd")),
        (8080, "LocalAI", "LocalAI v4.2.0", settings("openai", "/v1", dialect="localai")),
        (13305, "Lemonade", "Lemonade 10.1.0", settings("openai", "/api/v1", dialect="lemonade")),
        (8000, "vLLM-Omni", "vLLM-Omni", settings("openai", "/v1", dialect="vllm")),
        (30000, "SGLang diffusion", "SGLang diffusion", settings("openai", "/v1", dialect="sglang")),
    ],
)
def test_a_server_is_named_with_the_settings_that_use_it(
    usual: int, program: str, found: str, expected: Callable[[int], dict[str, str]]
) -> None:
    with serve(ANSWERS[program]) as (port, seen):
        row = look(port, usual)
    assert (row.found, dict(row.settings)) == (found, expected(port))
    assert row.settings.keys() <= {setting.name for setting in SETTINGS}
    assert {line.split()[0] for line in seen} == {"GET"}
    assert len(seen) <= 2


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
        (8000, "vLLM", "vLLM: it serves a text model"),
        (30000, "SGLang", "SGLang: it serves a text model"),
        (11434, "Ollama without images", "Ollama 0.33.0: this version generates no images"),
        (
            5001,
            "koboldcpp without an image model",
            "koboldcpp 1.116.1: it has no image model (start it with --sdmodel)",
        ),
    ],
)
def test_a_program_that_generates_no_images_is_named_without_settings(usual: int, program: str, found: str) -> None:
    with serve(ANSWERS[program]) as (port, seen):
        row = look(port, usual)
    assert (row.found, row.settings) == (found, {})
    assert len(seen) <= 2


@pytest.mark.parametrize("usual", USUAL_PORTS)
@pytest.mark.parametrize(
    "body",
    [b"<html>hello", b"", b"[]", b"null", b"{}", b'{"system": 3, "data": [null], "endpoints": [], "result": {}}'],
    ids=["page", "nothing", "list", "null", "empty", "others"],
)
def test_anything_else_is_said_to_be_something_else(usual: int, body: bytes) -> None:
    with serve({"*": body}) as (port, seen):
        row = look(port, usual)
    assert row.found.startswith(f"something else answers, not {USUAL_PORTS[usual].programs}")
    assert row.settings == {}
    assert len(seen) <= 2


def test_what_is_likely_wrong_is_said_where_one_can_guess() -> None:
    with serve({}) as (port, _):
        assert look(port, 7860).found.endswith("; A1111, Forge and reForge have an API only with --api")


def test_swarmui_is_known_while_no_comfyui_runs_in_it() -> None:
    with serve(ANSWERS["SwarmUI without ComfyUI"], status=400) as (port, _):
        row = look(port, 7801)
    assert row.found == "SwarmUI: no ComfyUI runs in it"
    assert row.settings == {}


def test_a_server_that_wants_a_password_is_not_sent_one() -> None:
    with serve({"*": {"detail": "Unauthorized"}}, status=401) as (port, _):
        row = look(port, 7860)
    assert row.found == "something answers, perhaps A1111 or a relative of it, and asks for authorization"


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
