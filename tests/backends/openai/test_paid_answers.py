"""What was paid for is never thrown away, whatever shape it comes in, and whichever server was paid."""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.backends.openai.fake_openai import FakeOpenAI, Fault, failing
from tests.backends.openai.fake_programs import Answer, Picture
from tests.backends.openai.project import OpenAIProject

KEY = "sk-paid-for-0001"
ONE = [{"name": "fox", "prompt": "a fox"}]
TWO = [*ONE, {"name": "owl", "prompt": "an owl"}]
IMAGE = Picture("a fox", (1024, 640), 1).encode()
BASE64 = base64.b64encode(IMAGE).decode()


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI("hosted", key=KEY) as fake:
        yield fake


@pytest.fixture
def project(fake: FakeOpenAI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenAIProject:
    project = OpenAIProject(tmp_path / "project", fake, monkeypatch)
    project.settings_file(dialect="hosted")
    project.job(items=ONE)
    return project


def kept(project: OpenAIProject) -> list[bytes]:
    return [path.read_bytes() for path in (project.root / ".imagegen/paid").glob("*")]


def answer(text: str, **more: Any) -> dict[str, Any]:
    return {"data": [{"b64_json": text}], **more}


USABLE = {
    "a data URL": Answer(200, answer(f"data:image/png;base64,{BASE64}")),
    "line breaks": Answer(200, answer("\r\n".join(BASE64[at : at + 76] for at in range(0, len(BASE64), 76)))),
    "no padding": Answer(200, answer(BASE64.rstrip("="))),
    "compressed": Answer(200, gzip.compress(json.dumps(answer(BASE64)).encode()), {"Content-Encoding": "gzip"}),
    "the image itself": Answer(200, IMAGE),
}


@pytest.mark.parametrize("how", USABLE)
def test_an_image_that_was_paid_for_is_used_however_it_comes(
    project: OpenAIProject, fake: FakeOpenAI, how: str
) -> None:
    fake.faults.append(Fault(USABLE[how], makes=True))
    assert project.build() == {"portraits:fox": "generated"}, project.report
    assert project.build() == {}
    assert len(fake.bodies) == 1


UNUSABLE: dict[str, Any] = {
    "its address": {"data": [{"url": "https://elsewhere.example/fox.png"}]},
    "an error": {"error": {"message": "upstream timed out"}},
    "nothing in base64": answer("!!!"),
    "no data": {"data": []},
    "a page": b"<html>",
    "many values": b'{"data":[' + b"[]," * 2_000_000 + b"[]]}",
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_whatever_else_was_paid_for_is_kept_and_nothing_more_is_paid(
    project: OpenAIProject, fake: FakeOpenAI, what: str
) -> None:
    fake.faults.append(failing(200, UNUSABLE[what], makes=True))
    project.job(items=TWO, generate={**project.base_job["generate"]})
    project.build("portraits:fox")
    assert ".imagegen/paid" in project.report
    assert kept(project) == [Answer(200, UNUSABLE[what]).encode()[0]]
    if what == "an error":
        assert "the API says: upstream timed out" in project.report
    project.build("portraits:fox")
    assert len(fake.bodies) == 1, "paid for again"


def test_the_key_is_blotted_out_of_what_is_kept(project: OpenAIProject, fake: FakeOpenAI) -> None:
    image = IMAGE[:-20] + KEY.encode()
    fake.faults.append(failing(200, answer(base64.b64encode(image).decode()), makes=True))
    project.build()
    assert kept(project) == [IMAGE[:-20] + b"*" * len(KEY)]
    assert KEY not in project.report
    assert project.build() == {"portraits:fox": "failed"}
    assert len(fake.bodies) == 1


def test_what_is_recorded_of_an_answer_is_short(project: OpenAIProject, fake: FakeOpenAI) -> None:
    usage = {"input_tokens": 10, "output_tokens": 10**30, "total_tokens": True, "more": "x" * 100_000}
    fake.faults.append(failing(200, answer(BASE64, usage=usage, background="b" * 100_000, size={"a": [1]}), makes=True))
    assert project.build() == {"portraits:fox": "generated"}
    (output,) = project.outputs().values()
    (entry,) = project.project().store.entries(output.fingerprint)
    assert entry.facts["usage"] == {"input_tokens": 10}
    assert len(str(entry.facts)) < 400


def test_one_flat_colour_was_paid_for_and_is_said(project: OpenAIProject, fake: FakeOpenAI) -> None:
    from PIL import Image

    path = project.root / "flat.png"
    Image.new("RGB", (1024, 640)).save(path)
    fake.faults.append(failing(200, answer(base64.b64encode(path.read_bytes()).decode()), makes=True))
    assert project.build() == {"portraits:fox": "generated"}, project.report
    assert "used all the same, since it was paid for" in project.notes["portraits:fox"]


def test_a_name_is_said_once(project: OpenAIProject, fake: FakeOpenAI) -> None:
    fake.faults.append(failing(200, answer(BASE64, quality="high"), makes=True))
    project.build()
    assert "portraits:fox: the API generated it with quality high, not low" in project.report


Elsewhere = Callable[..., OpenAIProject]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], OpenAIProject]]:
    """Return a project whose environment names a server on the internet, which a proxy stands for."""
    with FakeOpenAI("hosted", key=KEY) as fake:
        fake.program._KEYS = frozenset([*fake.program._KEYS, "seed", "response_format"])  # type: ignore[attr-defined]

        def make(host: str) -> OpenAIProject:
            project = OpenAIProject(tmp_path / "project", fake, monkeypatch)
            for name in [name for name in os.environ if name.lower() in ("no_proxy", "http_proxy")]:
                monkeypatch.delenv(name)
            project.environ(OPENAI_BASE_URL=f"http://{host}/v1", HTTP_PROXY=fake.origin)
            project.job(items=TWO, openai={"model": "gpt-image-2"})
            return project

        yield make


def test_a_server_that_gets_the_key_is_paid_whatever_dialect_is_named(
    elsewhere: Callable[[str], OpenAIProject],
) -> None:
    project = elsewhere("images.example.com")
    project.settings_file({"gpt-image-2": "0.006"}, budget="0.001", dialect="vllm", url="http://127.0.0.1:8000/v1")
    assert set(project.build().values()) == {"failed"}
    assert "budget" in project.report
    assert project.fake.bodies == []
    project.settings_file({}, budget="5", dialect="vllm")
    assert set(project.build().values()) == {"failed"}
    assert "is not known" in project.report
    assert project.fake.bodies == []
    project.settings_file({"gpt-image-2": "0.006"}, budget="0.006", dialect="vllm")
    project.fake.faults.append(failing(500, {}, makes=True))
    assert set(project.build().values()) == {"failed"}
    assert "may have been" in project.report
    assert len(project.fake.bodies) == len(project.fake.pictures) == 1


@pytest.mark.parametrize("host", ["gpu", "10.0.0.5", "gpu.local"])
def test_a_server_of_ones_own_network_is_not(elsewhere: Callable[[str], OpenAIProject], host: str) -> None:
    project = elsewhere(host)
    project.settings_file({}, budget="0.001", dialect="vllm")
    assert set(project.build().values()) == {"generated"}, project.report


def test_a_public_server_of_ones_own_has_the_price_0(elsewhere: Callable[[str], OpenAIProject]) -> None:
    project = elsewhere("images.example.com")
    project.settings_file({"gpt-image-2": "0"}, budget="0.001", dialect="vllm")
    project.fake.faults.append(failing(503, {}))
    assert set(project.build().values()) == {"generated"}, project.report
