"""The HTTP API of `sd-server`: what it answers, and what answers but is not sd-server."""

from __future__ import annotations

import pytest

from imagegen.backends.json_api import Refused, Unreachable
from imagegen.backends.sd.client import Client, JobState
from tests.backends.sd.fake_sd_server.fixture import FakeSd, until
from tests.backends.sd.project import SdProject

SMALL = {"prompt": "a cat", "width": 64, "height": 64, "sample_params": {"sample_steps": 1}}


@pytest.fixture
def client(fake: FakeSd, project: SdProject) -> Client:
    return Client(fake.start("--model", str(project.models / "checkpoints/one.safetensors")))


def test_what_a_server_says_of_itself(client: Client, project: SdProject) -> None:
    found = client.capabilities()
    assert found.model == str(project.models / "checkpoints/one.safetensors")
    assert "euler_a" in found.samplers
    assert "karras" in found.schedulers


def test_an_image_from_the_queue_to_its_end(client: Client) -> None:
    job = client.submit(SMALL)
    until(lambda: client.job(job).status == "completed")
    assert client.job(job).image.startswith(b"\x89PNG")
    assert not client.cancel(job), "its image is there"


def test_a_job_that_waits_can_be_cancelled_and_one_in_progress_cannot(client: Client, fake: FakeSd) -> None:
    gate = fake.hold("a cat")
    first = client.submit(SMALL)
    fake.wait_held(gate)
    second = client.submit(SMALL)
    assert client.job(second) == JobState("queued", 1)
    assert not client.cancel(first)
    assert client.cancel(second)
    assert client.job(second).status == "cancelled"
    assert client.job(first).status == "generating"


def test_a_job_that_the_server_does_not_know_is_gone(client: Client, fake: FakeSd) -> None:
    assert client.job("job_0_00000000") == JobState("gone")
    assert client.cancel("job_0_00000000")
    fake.play(ttl_s=0)
    job = client.submit(SMALL)
    until(lambda: client.job(job) == JobState("gone"))


def test_why_a_job_failed(client: Client, fake: FakeSd) -> None:
    fake.run_out_of_memory("a cat")
    job = client.submit(SMALL)
    until(lambda: client.job(job).status == "failed")
    assert client.job(job).said == "generate_image returned no results"


def test_a_request_that_is_refused(client: Client) -> None:
    with pytest.raises(Refused) as caught:
        client.submit({**SMALL, "lora": [{"path": "nope.safetensors", "multiplier": 1}]})
    assert (caught.value.status, caught.value.answer["error"]) == (400, "invalid generation parameters")


@pytest.mark.parametrize(
    "answer",
    [
        {"id": "job", "status": "sleeping"},
        {"status": "completed", "result": None},
        {"status": "completed", "result": {"images": []}},
        {"status": "completed", "result": {"images": [{"b64_json": "no base64!"}]}},
        {"status": "completed", "result": {"images": [{"b64_json": 7}]}},
        {},
    ],
)
def test_an_answer_about_a_job_that_makes_no_sense(client: Client, fake: FakeSd, answer: object) -> None:
    fake.fault("answer", "GET /sdcpp/v1/jobs", status=200, json=answer)
    with pytest.raises(Refused):
        client.job("job_0_00000000")


def test_an_image_is_read_however_its_base64_is_written(client: Client, fake: FakeSd) -> None:
    answer = {"status": "completed", "result": {"images": [{"b64_json": "UE5H\r\nIQ"}]}}
    fake.fault("answer", "GET /sdcpp/v1/jobs", status=200, json=answer)
    assert client.job("job_0_00000000").image == b"PNG!"


@pytest.mark.parametrize("job", [None, 7, "", "../../etc", "a b", "a?b", "ä"])
def test_an_id_that_is_not_one(client: Client, fake: FakeSd, job: object) -> None:
    fake.fault("answer", "POST /sdcpp/v1/img_gen", json={"id": job})
    with pytest.raises(Refused, match="gave no ID"):
        client.submit(SMALL)


@pytest.mark.parametrize("answer", [{}, {"samplers": []}, {"samplers": [], "model": "x"}, {"model": {}}])
def test_something_else_that_answers(client: Client, fake: FakeSd, answer: object) -> None:
    fake.fault("answer", "GET /sdcpp/v1/capabilities", json=answer)
    with pytest.raises(Refused, match="is not sd-server"):
        client.capabilities()


def test_another_program_that_has_no_such_path(client: Client, fake: FakeSd) -> None:
    fake.fault("answer", "GET /sdcpp/v1/capabilities", status=404, json={})
    with pytest.raises(Refused, match="is not sd-server"):
        client.capabilities()


def test_nobody_answers(client: Client, fake: FakeSd) -> None:
    fake.stop()
    with pytest.raises(Unreachable):
        client.capabilities()
