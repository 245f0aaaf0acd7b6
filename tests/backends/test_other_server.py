"""An address that means another program, or the right one at another path: what it is, and what to write."""

from __future__ import annotations

import pytest

from imagegen.backends.a1111.server import Server
from imagegen.backends.json_api import Refused
from imagegen.backends.openai.server import Client, inspect_server
from tests.backends.a1111.fake_a1111 import FakeA1111
from tests.backends.comfyui.fake_server import FakeComfyUI
from tests.backends.image_servers import serve
from tests.backends.openai.fake_openai import FakeOpenAI


def openai(url: str) -> str:
    """Ask as the backend openai does. Returns what is wrong."""
    with pytest.raises(Refused) as caught:
        inspect_server(Client(url), is_hosted=False)
    return f"{caught.value.what} | {caught.value.hint}"


def a1111(url: str) -> str:
    """Ask as the backend a1111 does. Returns what is wrong."""
    with pytest.raises(Refused) as caught:
        Server(url)
    return f"{caught.value.what} | {caught.value.hint}"


@pytest.mark.parametrize("path", ["", "/sdapi/v1"])
def test_an_address_without_its_v1_is_completed(path: str) -> None:
    with FakeOpenAI("localai") as fake:
        url = fake.origin + path
        assert openai(url) == (
            f"what answers at {url} is a server with OpenAI's API | write openai.server.url: {fake.origin}/v1"
        )


@pytest.mark.parametrize("path", ["", "/v1"])
def test_another_program_than_openai_s_is_named(path: str) -> None:
    with FakeA1111("forge") as fake:
        assert openai(fake.url + path) == (
            f"what answers at {fake.url}{path} is Forge | write backend: a1111, and a1111.server.url: {fake.url}"
        )
    with FakeComfyUI() as comfyui:
        assert openai(comfyui.url + path) == (
            f"what answers at {comfyui.url}{path} is ComfyUI | "
            f"write backend: comfyui, and comfyui.server.url: {comfyui.url}"
        )


def test_a1111_is_found_at_the_root_of_its_api() -> None:
    with FakeA1111("forge") as fake:
        assert a1111(f"{fake.url}/sdapi/v1") == (
            f"what answers at {fake.url}/sdapi/v1 is Forge | write a1111.server.url: {fake.url}"
        )


@pytest.mark.parametrize("path", ["", "/v1"])
def test_a_server_with_openai_s_api_is_none_of_a1111_s(path: str) -> None:
    with FakeOpenAI("localai") as fake:
        assert a1111(fake.origin + path) == (
            f"what answers at {fake.origin + path} is a server with OpenAI's API | "
            f"write backend: openai, and openai.server.url: {fake.origin}/v1"
        )


def test_what_is_none_of_them_is_not_named() -> None:
    with serve({}) as (port, _):
        assert "does not have A1111's API" in a1111(f"http://127.0.0.1:{port}")
        assert "404" in openai(f"http://127.0.0.1:{port}/v1")


def test_what_asks_for_a_key_is_not_asked_for_anything_else() -> None:
    with FakeOpenAI("hosted", key="sk-right-one") as fake:
        assert "asks for authorization" in openai(fake.url)
        assert len(fake.asked) == 2
