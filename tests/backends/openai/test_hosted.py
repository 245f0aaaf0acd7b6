"""What a hosted API is sent, and what is made of its answers."""

from __future__ import annotations

import base64
from decimal import Decimal

import pytest

from imagegen.images.image_file import read_image
from tests.backends.openai.fake_openai import FakeOpenAI, Fault, failing
from tests.backends.openai.fake_programs import Answer, Picture
from tests.backends.openai.project import CENTS, KEY, ONE, OpenAIProject, error


def test_an_image_of_another_size_was_paid_for_and_is_kept(project: OpenAIProject, fake: FakeOpenAI) -> None:
    project.hosted.own_size = (1024, 1024)
    project.job(items=ONE)
    assert project.build() == {"portraits:fox": "generated"}, project.report
    assert "1024×1024" in project.notes["portraits:fox"]
    file = read_image(project.image("fox").read_bytes())
    assert (file.width, file.height) == (1024, 1024)
    assert project.build() == {}
    assert fake.bill == CENTS


def test_another_quality_than_asked_for_is_said(project: OpenAIProject) -> None:
    project.hosted.changes = {"quality": "medium"}
    project.job(items=ONE)
    assert project.build() == {"portraits:fox": "generated"}
    assert "portraits:fox: the API generated it with quality medium, not low" in project.report
    assert project.build() == {}


def test_what_was_paid_for_and_cannot_be_used_is_kept_and_not_paid_for_again(
    project: OpenAIProject, fake: FakeOpenAI
) -> None:
    image = Picture("a fox", (1024, 640), 1).encode()[:-20]
    said = {"data": [{"b64_json": base64.b64encode(image).decode()}], "size": "1024x640", "quality": "low"}
    fake.faults.append(Fault(Answer(200, said), makes=True))
    project.job(items=ONE)
    assert project.build() == {"portraits:fox": "failed"}
    assert any(path.read_bytes() == image for path in project.root.rglob(".imagegen/**/*") if path.is_file())
    assert project.build() == {"portraits:fox": "failed"}
    assert (len(fake.bodies), fake.bill) == (1, CENTS)
    assert ".imagegen/paid" in project.report


def test_what_a_server_says_of_an_image_is_recorded(project: OpenAIProject) -> None:
    project.job(items=ONE)
    project.build()
    (output,) = project.outputs().values()
    (entry,) = project.project().store.entries(output.fingerprint)
    assert entry.facts["usage"]["output_tokens"] == 1056


def test_only_what_the_hosted_api_takes_is_sent(project: OpenAIProject, fake: FakeOpenAI) -> None:
    project.job(items=[{**ONE[0], "steps": 20, "negative": "blur", "seed": 7}], openai={"model": "gpt-image-2"})
    assert project.build() == {"portraits:fox": "generated"}, project.report
    assert fake.bodies[0].keys() <= {"model", "prompt", "n", "size", "output_format"}


@pytest.mark.parametrize("size", [(512, 512), (1030, 1024)])
def test_a_size_that_the_api_refuses_costs_nothing(
    project: OpenAIProject, fake: FakeOpenAI, size: tuple[int, int]
) -> None:
    project.job(items=ONE, generate=dict(zip(("width", "height"), size, strict=True)))
    assert project.build() == {"portraits:fox": "failed"}
    assert "Invalid size '{}x{}'".format(*size) in project.report
    assert (len(fake.bodies), fake.bill) == (1, Decimal(0))


def test_a_model_must_be_named_where_there_are_several(project: OpenAIProject, fake: FakeOpenAI) -> None:
    project.job(items=ONE, openai={})
    assert project.build() == {"portraits:fox": "failed"}
    assert "gpt-image-2" in project.report
    assert fake.bodies == []


def test_doctor_generates_nothing(project: OpenAIProject, fake: FakeOpenAI) -> None:
    project.job(items=ONE)
    project.budget("1.50")
    (output,) = project.outputs().values()
    rows = project.project().backends["openai"].diagnose([output.request])
    said = "\n".join(f"{row.what} {row.found} {row.hint}" for row in rows)
    assert all(row.ok for row in rows), said
    assert fake.url in said
    assert "OPENAI_API_KEY" in said
    assert "0.006" in said
    assert KEY not in said
    assert fake.bodies == []


@pytest.mark.parametrize("answer", [Answer(404), Answer(403, error("insufficient permissions")), Answer(200, "<html>")])
def test_an_api_that_does_not_list_its_models_is_used(project: OpenAIProject, fake: FakeOpenAI, answer: Answer) -> None:
    fake.odd["/v1/models"] = answer
    project.job(items=ONE)
    assert project.build() == {"portraits:fox": "generated"}, project.report


def test_without_a_key_openai_is_not_even_contacted(
    project: OpenAIProject, fake: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name)
        del project.environment[name]
    monkeypatch.setenv("HTTPS_PROXY", fake.origin)
    project.settings_file()
    project.job()
    assert set(project.build().values()) == {"failed"}
    assert "OPENAI_API_KEY" in project.report
    assert fake.asked == []


def test_without_a_key_another_hosted_api_is_asked_for_no_image(
    project: OpenAIProject, fake: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    project.job()
    assert set(project.build().values()) == {"failed"}
    assert "OPENAI_API_KEY" in project.report
    assert fake.bodies == []


def test_a_key_that_is_not_accepted_is_not_shown(project: OpenAIProject, fake: FakeOpenAI) -> None:
    project.environ(OPENAI_API_KEY="sk-mistyped-0002")
    fake.odd["/v1/models"] = Answer(404)
    project.job(items=ONE)
    assert project.build() == {"portraits:fox": "failed"}
    assert "OPENAI_API_KEY" in project.report
    assert "sk-mistyped-0002" not in project.report
    assert fake.pictures == []


def test_a_server_that_repeats_the_key_in_everything_has_it_kept_nowhere(
    project: OpenAIProject, fake: FakeOpenAI
) -> None:
    project.hosted.changes = {"quality": f"low {KEY}", "usage": {"of": KEY, KEY: 1}, KEY: KEY}
    project.hosted.models = ("gpt-image-2", KEY)
    image = Picture("a bee", (1024, 640), 1).encode() + KEY.encode()
    fake.faults += [
        failing(400, error(f"no {KEY}", KEY, KEY), word="owl"),
        Fault(Answer(200, {"data": [{"b64_json": base64.b64encode(image).decode()}]}), word="bee"),
        failing(401, error(f"Incorrect API key provided: {KEY}"), word="elk"),
        failing(429, error(KEY), retry_after_ms="1", word="cat", times=None),
    ]
    project.job()
    states = project.build()
    assert states.pop("portraits:fox") == "generated", project.report
    assert set(states.values()) == {"failed"}
    (output, *_) = project.outputs().values()
    rows = project.project().backends["openai"].diagnose([output.request])
    kept = {path.name: path.read_bytes() for path in project.root.rglob("*") if path.is_file()}
    assert [name for name, data in kept.items() if KEY.encode() in data] == []
    assert KEY not in project.report + str(rows) + str(project.events)
