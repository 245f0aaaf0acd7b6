"""Each dialect keeps the rules that imagegen has for backends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from imagegen.backends.base import Backend
from imagegen.backends.openai import OpenAIBackend
from imagegen.plan.request import Request
from imagegen.testing import BackendContract
from tests.backends.openai.fake_openai import FakeOpenAI


class Contract(BackendContract):
    """program: of the fake server. extra: of the section, beside the server."""

    program: ClassVar[str]
    model: ClassVar[str]
    extra: ClassVar[dict[str, Any]] = {}
    size: ClassVar[tuple[int, int]] = (64, 64)

    @pytest.fixture(autouse=True)
    def _serve(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with FakeOpenAI(self.program, key="sk-contract") as fake:
            monkeypatch.setenv("OPENAI_API_KEY", fake.key)
            monkeypatch.setenv("OPENAI_BASE_URL", fake.url)
            self.url = fake.url
            yield

    def backend(self) -> Backend:
        return OpenAIBackend()

    def request(self) -> Request:
        extra = {"server": {"url": self.url}, "dialect": self.program, **self.extra}
        width, height = self.size
        return Request("openai", "Fox", "a red fox", width=width, height=height, seed=7, model=self.model, extra=extra)


class TestVllm(Contract):
    program = "vllm"
    model = "Qwen/Qwen-Image"


class TestSgLang(Contract):
    program = "sglang"
    model = "black-forest-labs/FLUX.1-dev"


class TestLemonade(Contract):
    program = "lemonade"
    model = "SD-Turbo"


class TestLocalAI(Contract):
    program = "localai"
    model = "stablediffusion"


class TestSdcpp(Contract):
    program = "sdcpp"
    model = "sd-cpp-local"


class TestHosted(Contract):
    program = "hosted"
    model = "gpt-image-2"
    extra: ClassVar[dict[str, Any]] = {"quality": "low"}
    size = (1024, 640)
