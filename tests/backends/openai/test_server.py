"""Which program a server is, by what it says of itself; and whom its answers come from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.openai.server import Client, inspect_server
from tests.backends.openai.fake_openai import FakeOpenAI
from tests.faults.middleman import answer
from tests.faults.raw_server import Say, raw_server


def saying(answers: dict[str, Any]) -> Say:
    """Answer these paths in JSON, and close the connection on others."""

    def say(line: str) -> Iterable[bytes]:
        path = line.split()[1]
        return [answer(json.dumps(answers[path]).encode())] if path in answers else []

    return say


def models(**model: Any) -> dict[str, Any]:
    return {"/model_info": [], "/v1/models": {"data": [{"id": "m", **model}]}}


def inspect(url: str, *, is_hosted: bool = False) -> tuple[str, str, list[str], str]:
    found = inspect_server(Client(url), is_hosted=is_hosted)
    return found.program, found.dialect, [*found.models], found.version


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("vllm", ("vLLM-Omni", "vllm", ["Qwen/Qwen-Image"], "")),
        ("sglang", ("SGLang", "sglang", ["black-forest-labs/FLUX.1-dev"], "0.5.23")),
        ("lemonade", ("Lemonade", "lemonade", ["SD-Turbo"], "11.7.0")),
        ("localai", ("LocalAI", "localai", ["stablediffusion"], "v4.2.0 (abc)")),
        ("koboldcpp", ("koboldcpp", "", [], "")),
        ("plain vLLM", ("vLLM", "", [], "")),
        ("plain SGLang", ("SGLang", "", [], "")),
        ("LM Studio", ("LM Studio", "", [], "")),
        ("llama.cpp", ("llama.cpp", "", [], "")),
        ("unknown", ("", "", ["flux"], "")),
    ],
)
def test_a_program_is_known_by_what_it_says(program: str, expected: object) -> None:
    with FakeOpenAI(program) as fake:
        assert inspect(fake.url) == expected


@pytest.mark.parametrize("base", ["/v1", "/api/v1", "/api/v0", "/v0"])
def test_a_program_is_asked_from_its_root_whichever_path_is_named(base: str) -> None:
    with FakeOpenAI("lemonade") as fake:
        assert inspect(fake.origin + base)[3] == "11.7.0"


def test_a_hosted_api_is_asked_for_its_models_alone() -> None:
    with FakeOpenAI("hosted") as fake:
        assert inspect(fake.url, is_hosted=True) == ("", "hosted", ["gpt-image-2", "gpt-image-1-mini", "gpt-5.5"], "")
        assert [asked.path for asked in fake.asked] == ["/v1/models"]


@pytest.mark.parametrize("owner", ["lemonade", "local", "sglang", "koboldcpp"])
def test_a_hosted_api_is_none_of_the_programs_whatever_its_models_are(owner: str) -> None:
    with raw_server(saying(models(owned_by=owner))) as url:
        assert inspect(f"{url}/v1", is_hosted=True) == ("", "hosted", ["m"], "")


def test_models_that_lemonade_has_somebody_else_run_are_told_apart() -> None:
    image = {"labels": ["image"], "downloaded": True}
    with FakeOpenAI("lemonade", models={"a": {**image, "recipe": "sd-cpp"}, "b": {**image, "recipe": "cloud"}}) as fake:
        found = inspect_server(Client(fake.url), is_hosted=False)
    assert ([*found.models], [*found.sold]) == (["a"], ["b"])


def test_a_server_is_called_by_the_address_that_was_given() -> None:
    with FakeOpenAI("hosted", key="sk-right-one") as fake, pytest.raises(Refused) as caught:
        inspect_server(Client(fake.url), is_hosted=True)
    assert f"{fake.url} asks for authorization" in caught.value.what


def test_a_hosted_api_need_not_list_them() -> None:
    with FakeOpenAI("hosted", has_models=False) as fake:
        assert inspect(fake.url, is_hosted=True) == ("", "hosted", [], "")


def test_a_key_that_a_hosted_api_does_not_take_is_said_at_once() -> None:
    with (
        FakeOpenAI("hosted", key="sk-right-one") as fake,
        pytest.raises(Refused, match="does not accept OPENAI_API_KE"),
    ):
        inspect_server(Client(fake.url, "sk-wrong-one"), is_hosted=True)


def test_sglang_that_warms_up_answers_one_path_only() -> None:
    with (
        raw_server(saying({"/model_info": {"model_type": "diffusion"}})) as url,
        pytest.raises(Refused, match="still warms up"),
    ):
        inspect_server(Client(f"{url}/v1"), is_hosted=False)


def test_sglang_with_a_model_for_videos_makes_no_images() -> None:
    info = {"model_type": "diffusion", "is_image_gen": False}
    said = {"/model_info": info, "/v1/list_loras": {}, "/server_info": {}, "/v1/models": {"data": []}}
    with raw_server(saying(said)) as url:
        assert inspect(f"{url}/v1")[:2] == ("SGLang", "")


@pytest.mark.parametrize(
    "said",
    [
        {"/model_info": [], "/v1/models": {"data": None}},
        {"/model_info": {"model_type": ["diffusion"]}, "/v1/models": {"data": [None, {"id": 5}, "x"]}},
        {**models(owned_by=["lemonade"]), "/.well-known/localai.json": {"endpoints": 5}},
        {**models(owned_by="vllm"), "/health": {"status": ["healthy"]}},
        {**models(owned_by="lemonade", labels="image", downloaded=True), "/api/v1/health": {"version": {}}},
        {
            **models(),
            "/.well-known/localai.json": {"version": [], "endpoints": {"image_generation": 1}},
            "/v1/models/capabilities": {"data": [5, {"id": [], "capabilities": {"image": 1}}]},
        },
        {
            "/model_info": {"model_type": "diffusion"},
            "/v1/list_loras": {"active": {"transformer": [5, {"nickname": []}], "x": 7}},
            "/server_info": {"version": {"a": 1}},
            "/v1/models": {"data": []},
        },
    ],
)
def test_what_a_server_says_wrongly_breaks_nothing(said: dict[str, Any]) -> None:
    with raw_server(saying(said)) as url:
        try:
            found = inspect_server(Client(f"{url}/v1"), is_hosted=False)
        except (Refused, Unreachable):
            return
        assert isinstance(found.version, str)
        assert all(isinstance(name, str) for name in (*found.models, *found.loras))


@pytest.mark.parametrize(
    "body",
    [{}, [], {"data": []}, {"data": [5]}, {"data": {}}, {"data": [{}]}, {"data": [{"b64_json": 5}]}, None, "text"],
)
def test_an_answer_without_an_image_is_refused_as_one_that_came(body: Any) -> None:
    with (
        raw_server(saying({"/v1/images/generations": body})) as url,
        pytest.raises(Refused, match="answered without an image") as caught,
    ):
        Client(f"{url}/v1").generate({}, lambda: None, 9)
    assert caught.value.status == 200


def test_an_image_is_not_fetched_from_an_address() -> None:
    body = {"data": [{"b64_json": None, "url": "http://elsewhere/x.png"}]}
    with (
        raw_server(saying({"/v1/images/generations": body})) as url,
        pytest.raises(Refused, match="sent the address of an image, and not the image"),
    ):
        Client(f"{url}/v1").generate({}, lambda: None, 9)


def test_the_key_follows_no_redirect() -> None:
    seen: list[str] = []

    def elsewhere(line: str) -> Iterable[bytes]:
        seen.append(line)
        return [answer(b"{}")]

    with raw_server(elsewhere) as other, raw_server(lambda _: [redirect(other)]) as url:
        client = Client(f"{url}/v1", "sk-MARKEDkey")
        for call in (client.models, lambda: client.generate({}, lambda: None, 9)):
            with pytest.raises(Refused, match="redirects") as caught:
                call()
            assert "MARKED" not in str(caught.value)
    assert seen == []


def redirect(to: str) -> bytes:
    return f"HTTP/1.1 307 Moved\r\nLocation: {to}/?sk-MARKEDkey\r\nContent-Length: 0\r\n\r\n".encode()
