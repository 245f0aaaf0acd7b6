"""Servers that answer with what nobody expects: a problem is said, and the backend has no fault."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagegen.backends.base import Backend, Context, GenerationError, MayBePaidError
from imagegen.backends.guard import BackendFaultError, guard
from imagegen.backends.openai import OpenAIBackend
from imagegen.config.settings import Settings
from imagegen.execute.worker import ImageProgress
from imagegen.plan.request import Request
from tests.backends.openai.fake_openai import FakeOpenAI, Fault
from tests.backends.openai.fake_programs import Answer

DEEP = b"[" * 100_000
ODD: list[Any] = [
    None, [], {}, 5, "text", b"\xff\xfe", DEEP, {"data": 5}, {"data": None}, {"data": {}},
    {"data": [1, None, [], {"id": 5}, {"id": None, "owned_by": 5}, {"id": "x", "owned_by": ["vllm"]}]},
    {"data": [{"id": "x", "owned_by": "lemonade", "labels": 5, "downloaded": "no"}]},
    {"data": [{"id": "x", "owned_by": "lemonade", "labels": [None, {}], "downloaded": True}]},
    {"data": [{"id": "x" * 10_000, "owned_by": "local"}]},
    {"data": [{"id": "x\x1b[31m\n", "capabilities": ["image"], "owned_by": "vllm"}]},
    {"model_type": "diffusion", "is_image_gen": "no"}, {"model_type": ["diffusion"]},
    {"active": 5}, {"active": {"a": 5, "b": [5], "c": [{"nickname": None}]}},
    {"status": {"healthy": 1}}, {"endpoints": 5}, {"endpoints": {"image_generation": None}, "version": {}},
    {"version": ["1"]}, {"version": "9\n\x1b[2J" * 5000},
    {"model": 5, "samplers": 5, "schedulers": [5], "loras": {}},
]  # fmt: skip
PATHS = {
    "vllm": ["/model_info", "/v1/models", "/health"],
    "sglang": ["/model_info", "/server_info", "/v1/models", "/v1/list_loras"],
    "lemonade": ["/model_info", "/api/v1/models", "/api/v1/health"],
    "localai": ["/v1/models", "/v1/models/capabilities", "/.well-known/localai.json"],
    "sdcpp": ["/v1/models", "/sdcpp/v1/capabilities"],
    "hosted": ["/v1/models"],
}


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, FakeOpenAI]]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-some-key-0001")
    found: dict[str, FakeOpenAI] = {}
    yield found
    for fake in found.values():
        fake.__exit__(None, None, None)


def start(fakes: dict[str, FakeOpenAI], program: str) -> tuple[FakeOpenAI, Request]:
    fake = fakes[program] = FakeOpenAI(program).__enter__()
    extra: dict[str, Any] = {"server": {"url": fake.url}}
    extra |= {"dialect": "hosted", "quality": "low"} if program == "hosted" else {}
    request = Request("openai", "Fox", "a fox", width=1024, height=640, seed=7, model="gpt-image-2", extra=extra)
    return fake, request


def backend() -> Backend:
    found = guard("openai", OpenAIBackend)
    found.context = Context(Path.cwd(), Settings(), lambda _: b"")
    return found


@pytest.mark.parametrize("program", PATHS)
def test_what_a_server_says_of_itself_may_be_anything(fakes: dict[str, FakeOpenAI], program: str) -> None:
    fake, request = start(fakes, program)
    for path in PATHS[program]:
        for odd in (Answer(500), *(Answer(200, body) for body in ODD)):
            fake.odd, asked = {path: odd}, backend()
            for problem in asked.preflight([request]):
                lines = str(problem).splitlines()
                assert all(line.isprintable() and len(line) < 5000 for line in lines), (path, odd, problem)
            assert asked.diagnose([request])
            try:
                assert isinstance(asked.choose_model(request), str)
            except BackendFaultError:
                raise
            except GenerationError as error:
                assert str(error)
    assert fake.bodies == []


IMAGES: list[Any] = [
    None, [], {}, 5, "text", b"\xff\xfe", DEEP, {"data": 5}, {"data": [5]}, {"data": [{}]}, {"data": [{"b64_json": 5}]},
    {"data": {"0": {"b64_json": "AAAA"}}}, {"data": [{"b64_json": ["AAAA"]}]}, {"data": [{"b64_json": "A"}]},
    {"data": [{"b64_json": "ÄÄÄÄ"}]}, {"data": [{"url": 5}]}, {"error": {"message": {"a": 5}, "code": ["x"]}},
    {"error": [5]}, {"detail": [{"loc": 5, "msg": {}}]}, {"detail": [{"loc": [[5]]}]}, {"error": {"details": 5}},
    {"error": {"details": {"response": {"error": {"details": {"response": [5]}}}}}},
]  # fmt: skip


@pytest.mark.parametrize("program", ["hosted", "vllm"])
def test_what_it_answers_in_place_of_an_image_may_be_anything(fakes: dict[str, FakeOpenAI], program: str) -> None:
    fake, request = start(fakes, program)
    for status in (200, 400, 500):
        for body in IMAGES:
            fake.faults[:] = [Fault(Answer(status, body))]
            sent = Answer(status, body).encode()[0]
            if program == "hosted" and status == 200 and sent:  # it was paid for
                made = backend().generate(request, ImageProgress(60, threading.Event()))
                assert made.data == sent
                continue
            with pytest.raises(GenerationError) as raised:
                backend().generate(request, ImageProgress(60, threading.Event()))
            assert not isinstance(raised.value, BackendFaultError), (status, body, raised.value)
            is_paid = program == "hosted" and status != 400
            assert isinstance(raised.value, MayBePaidError) is is_paid, (status, body, raised.value)
            problem = raised.value.problem
            assert f"{problem.what}{problem.hint}".isprintable(), (status, body, problem)
