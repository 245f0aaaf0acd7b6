"""Whole runs with each program: the picture that it makes is the one that was asked for, or none is asked for."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from imagegen.images.image_file import read_image
from tests.backends.openai.fake_openai import FakeOpenAI, Fault, failing
from tests.backends.openai.fake_programs import Answer, Picture
from tests.backends.openai.project import OpenAIProject

Serve = Callable[..., OpenAIProject]
OWN = ["vllm", "sglang", "lemonade", "localai", "sdcpp"]
MODELS = {
    "vllm": "Qwen/Qwen-Image",
    "sglang": "black-forest-labs/FLUX.1-dev",
    "lemonade": "SD-Turbo",
    "localai": "stablediffusion",
    "sdcpp": "sd15",
}
"""What a picture says that it was made with."""
ENGINES = {
    "vllm": "1 (vLLM-Omni)",
    "sglang": "1 (SGLang 0.5.23)",
    "lemonade": "1 (Lemonade 11.7.0)",
    "localai": "1 (LocalAI v4.2.0 (abc))",
    "sdcpp": "1 (sd-server sd15.safetensors)",
}
"""What is recorded beside each image."""


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start a server of this program; return a project whose settings name it."""
    with ExitStack() as stack:

        def start(program: str, **changes: Any) -> OpenAIProject:
            fake = stack.enter_context(FakeOpenAI(program, **changes))
            return OpenAIProject(tmp_path / f"project{fake.origin[-5:]}", fake, monkeypatch)

        yield start


def one(**item: Any) -> list[dict[str, Any]]:
    return [{"name": "fox", "prompt": "a fox", "seed": 7, **item}]


HONOURED: dict[str, dict[str, Any]] = {
    "vllm": {"steps": 9, "cfg": 2.5, "negative": "blur", "openai": {"true_cfg": 3.0}},
    "sglang": {"steps": 9, "cfg": 2.5, "negative": "blur", "openai": {"true_cfg": 3.0}},
    "lemonade": {"steps": 9, "cfg": 2.5, "sampler": "euler"},
    "localai": {"steps": 9, "negative": "blur"},
    "sdcpp": {"steps": 9, "cfg": 2.5, "negative": "blur", "sampler": "euler", "scheduler": "karras"},
}
"""All that a dialect honours, in an item."""


@pytest.mark.parametrize("is_named", [True, False], ids=["named", "asked"])
@pytest.mark.parametrize("program", OWN)
def test_the_picture_is_the_one_that_the_job_asks_for(serve: Serve, program: str, is_named: bool) -> None:
    project = serve(program)
    if is_named:
        project.settings_file(dialect=program)
    project.job(items=one(**HONOURED[program]))
    assert project.build() == {"portraits:fox": "generated"}, project.report
    given = {key: value for key, value in HONOURED[program].items() if key != "openai"}
    given |= HONOURED[program].get("openai", {})
    (made,) = project.fake.pictures
    asked = {"prompt": "a fox", "size": (64, 64), "seed": 7, "model": MODELS[program], **given}
    assert {name: getattr(made, name) for name in asked} == asked | {"prompt": made.prompt}
    assert made.prompt.rstrip() == "a fox"
    assert made.format == "png"
    assert project.lines()[-1]["backend_version"] == ENGINES[program]
    assert project.build() == {}


@pytest.mark.parametrize("program", OWN)
def test_what_the_job_does_not_give_is_the_servers_own(serve: Serve, program: str) -> None:
    project = serve(program)
    project.job(items=one())
    assert project.build() == {"portraits:fox": "generated"}, project.report
    (body,) = project.fake.bodies
    assert body["n"] == 1
    sent = {"model", "prompt", "n", "size", "seed", "response_format", "output_format"}
    assert body.keys() <= sent
    assert project.fake.pictures[0].seed == 7
    (output,) = project.outputs().values()
    assert not output.fields.keys() & {"steps", "cfg", "negative", "sampler", "scheduler", "dialect"}


@pytest.mark.parametrize("program", ["sdcpp", "localai"])
def test_doctor_finds_nothing_wrong_with_a_job_that_leaves_its_model_to_the_server(serve: Serve, program: str) -> None:
    project = serve(program)
    project.job(items=one())
    doctor = project.doit("doctor")
    assert (doctor.code, project.fake.bodies) == (0, []), doctor.out
    assert project.build() == {"portraits:fox": "generated"}, project.report


@pytest.mark.parametrize("program", OWN)
def test_naming_the_dialect_makes_nothing_stale(serve: Serve, program: str) -> None:
    project = serve(program)
    project.job(items=one(**HONOURED[program]))
    assert project.build() == {"portraits:fox": "generated"}, project.report
    asked = len(project.fake.asked)
    project.settings_file(dialect=program)
    assert project.build() == {}
    assert len(project.fake.asked) == asked


@pytest.mark.parametrize("program", OWN)
def test_each_image_has_a_seed_of_its_own_that_the_server_keeps(serve: Serve, program: str) -> None:
    project = serve(program)
    names = [f"n{number}" for number in range(6)]
    project.job(items=[{"name": name, "prompt": "a fox"} for name in names])
    assert set(project.build().values()) == {"generated"}, project.report
    planned = {output.request.name: output.request.seed for output in project.outputs().values()}
    assert max(filter(None, planned.values())) >= 2**31, "none of these seeds is beyond 31 bits"
    seeds = [picture.seed for picture in project.fake.pictures]
    assert len(set(seeds)) == 6
    if program in ("lemonade", "localai"):
        assert sorted(seeds) == sorted((seed or 0) % 2**31 for seed in planned.values())
    else:
        assert sorted(seeds) == sorted(filter(None, planned.values()))
    project.build(forced=True)
    assert sorted(picture.seed for picture in project.fake.pictures[6:]) == sorted(seeds)


@pytest.mark.parametrize("program", OWN)
def test_a_run_asks_once_which_program_it_is_and_for_one_image_at_a_time(serve: Serve, program: str) -> None:
    project = serve(program)
    for name in ("birds", "portraits"):
        project.job(name, items=[{"name": f"{name}{number}", "prompt": "x"} for number in range(3)])
    assert set(project.build().values()) == {"generated"}, project.report
    paths = [asked.path for asked in project.fake.asked if asked.method == "GET"]
    assert max(paths.count(path) for path in set(paths)) <= 2, paths
    assert project.fake.most_at_once == 1


LORA = {"transformer": [{"nickname": "ink", "path": "ink.safetensors", "merged": True}]}
REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    # program, what differs of it, what the item has, and a word that the message has
    ("localai", {}, {"prompt": "a fox | a dog"}, "|"),
    ("localai", {}, {"negative": "a | b"}, "|"),
    ("localai", {}, {"openai": {"model": "stablediff"}}, "stablediffusion"),
    ("localai", {}, {"seed": 2**32}, "seed"),
    ("sdcpp", {}, {"prompt": 'x <sd_cpp_extra_args>{"seed": 3}</sd_cpp_extra_args>'}, "<sd_cpp_extra_args>"),
    ("lemonade", {}, {"prompt": 'x <sd_cpp_extra_args>{"seed": 3}</sd_cpp_extra_args>'}, "<sd_cpp_extra_args>"),
    ("lemonade", {}, {"openai": {"model": "SDXL-Base"}}, "SDXL-Base"),
    ("lemonade", {}, {"openai": {"model": "Qwen3-4B-GGUF"}}, "Qwen3-4B-GGUF"),
    ("lemonade", {}, {"openai": {"model": "SD-Trubo"}}, "SD-Turbo"),
    ("lemonade", {}, {"seed": 2**32}, "seed"),
    ("vllm", {}, {"width": 70, "height": 66}, "16"),
    ("vllm", {}, {"openai": {"model": "qwen"}}, "Qwen/Qwen-Image"),
    ("vllm", {}, {"steps": 201}, "steps"),
    ("vllm", {}, {"openai": {"true_cfg": 3}}, "negative"),
    ("vllm", {}, {"cfg": 21}, "cfg"),
    ("sglang", {}, {"width": 72, "height": 64}, "16"),
    ("sglang", {}, {"openai": {"model": "Qwen/Qwen-Image"}}, "FLUX.1-dev"),
    ("sglang", {"active_loras": LORA}, {}, "ink"),
    ("sdcpp", {}, {"width": 70, "height": 64}, "72"),
    ("sdcpp", {}, {"openai": {"model": "sdxl"}}, "sd-cpp-local"),
    ("sdcpp", {}, {"sampler": "eular"}, "euler"),
    ("sdcpp", {}, {"scheduler": "Karras"}, "karras"),
    ("sdcpp", {}, {"negative": "x" * 5000}, "4,000"),
    ("lemonade", {}, {"sampler": "Euler a"}, "euler_a"),
]


@pytest.mark.parametrize(("program", "changes", "item", "word"), REFUSED)
def test_what_the_server_would_change_silently_is_refused_before_anything_is_asked_for(
    serve: Serve, program: str, changes: dict[str, Any], item: dict[str, Any], word: str
) -> None:
    project = serve(program, **changes)
    project.job(items=[*one(**item), {"name": "owl", "prompt": "an owl", "seed": 8}])
    assert set(project.build().values()) == {"failed"}
    assert word in project.report, project.report
    assert project.fake.bodies == []


@pytest.mark.parametrize("program", ["sdcpp", "lemonade"])
def test_a_size_that_only_the_model_rounds_is_said_and_the_image_not_used(serve: Serve, program: str) -> None:
    project = serve(program)
    project.job(items=one(width=72))
    assert project.build() == {"portraits:fox": "failed"}
    assert "128" in project.report, project.report
    assert not project.image("fox").exists()


NOT_HONOURED = [
    ("lemonade", {"negative": "blur"}, "negative"),
    ("lemonade", {"scheduler": "karras"}, "scheduler"),
    ("localai", {"cfg": 3}, "cfg"),
    ("localai", {"sampler": "euler"}, "sampler"),
    ("vllm", {"scheduler": "karras"}, "scheduler"),
    ("sglang", {"sampler": "euler"}, "sampler"),
]


@pytest.mark.parametrize(("program", "item", "word"), NOT_HONOURED)
def test_what_the_dialect_does_not_honour_is_named(serve: Serve, program: str, item: dict[str, Any], word: str) -> None:
    project = serve(program)
    section = {"model": MODELS[program]}
    project.job(items=one(**item), openai=section)
    assert project.build() == {"portraits:fox": "failed"}
    assert word in project.report, project.report
    assert project.fake.bodies == []
    project.settings_file(dialect=program)
    project.job(items=one(**item), openai=section)
    (plan,) = project.project().plans()
    assert word in "".join(plan.notes)
    with_it = plan.outputs[0].fingerprint
    project.job(items=one(), openai=section)
    (plan,) = project.project().plans()
    assert (plan.outputs[0].fingerprint, plan.notes) == (with_it, ())


@pytest.mark.parametrize("program", ["sdcpp", "sglang"])
def test_options_of_another_dialect_are_refused_where_they_stand(serve: Serve, program: str) -> None:
    project = serve(program)
    project.settings_file(dialect=program)
    project.job(items=one(openai={"quality": "low"}))
    (plan,) = project.project().plans()
    (problem,) = plan.problems
    assert problem.where.startswith("jobs/portraits.yaml:")
    assert "quality" in str(problem)


STRANGERS = [
    ("LM Studio", "LM Studio"),
    ("llama.cpp", "llama.cpp"),
    ("plain vLLM", "vLLM"),
    ("plain SGLang", "SGLang"),
    ("koboldcpp", "a1111"),
    ("a page", "JSON"),
    ("unknown", "openai.dialect"),
]


@pytest.mark.parametrize(("program", "word"), STRANGERS)
def test_a_server_that_is_none_of_them_is_asked_for_nothing(serve: Serve, program: str, word: str) -> None:
    project = serve(program)
    project.job(items=one(openai={"model": "m"}))
    assert project.build() == {"portraits:fox": "failed"}
    assert word in project.report, project.report
    assert project.fake.bodies == []


CONTRADICTED = [
    ("sglang", "vllm", "SGLang"),
    ("localai", "lemonade", "LocalAI"),
    ("koboldcpp", "sdcpp", "koboldcpp"),
    ("sdcpp", "localai", "sd-server"),
    ("plain vLLM", "vllm", "vLLM"),
]


@pytest.mark.parametrize(("program", "named", "word"), CONTRADICTED)
def test_a_dialect_that_the_server_contradicts_is_refused(serve: Serve, program: str, named: str, word: str) -> None:
    project = serve(program)
    project.settings_file(dialect=named)
    project.job(items=one(openai={"model": "m"}))
    assert project.build() == {"portraits:fox": "failed"}
    assert word in project.report, project.report
    assert project.fake.bodies == []


@pytest.mark.parametrize("program", OWN)
def test_the_only_model_that_makes_images_is_chosen(serve: Serve, program: str) -> None:
    project = serve(program)
    project.job(items=one())
    assert project.build() == {"portraits:fox": "generated"}, project.report
    assert project.fake.pictures[0].model == MODELS[program]


def test_of_several_models_the_job_is_asked_to_name_one(serve: Serve) -> None:
    project = serve("localai", models=("stablediffusion", "flux.1-dev"))
    project.job(items=one())
    assert project.build() == {"portraits:fox": "failed"}
    assert "stablediffusion" in project.report
    assert "flux.1-dev" in project.report
    assert project.fake.bodies == []


def test_lemonade_downloads_no_model_by_itself(serve: Serve) -> None:
    project = serve("lemonade")
    project.job(items=[*one(openai={"model": "SDXL-Base"})])
    project.build()
    assert getattr(project.fake.program, "downloads") == []  # noqa: B009 - Lemonade's alone


NO_IMAGE = [
    ({"data": []}, "image"),
    ({"data": [{"b64_json": ""}]}, "image"),
    ({"data": [{"b64_json": None, "url": "http://127.0.0.1:9/x.png"}]}, "address"),
    ({"data": [{"b64_json": "not base64!"}]}, "image"),
    ({"error": "Unexpected endpoint or method."}, "Unexpected endpoint"),
    ("<!doctype html>", "image"),
    ({"data": {"b64_json": "x"}}, "image"),
]


@pytest.mark.parametrize(("body", "word"), NO_IMAGE)
def test_an_answer_without_an_image_fails_that_image_and_is_not_fetched_elsewhere(
    serve: Serve, body: Any, word: str
) -> None:
    project = serve("vllm")
    project.fake.faults.append(failing(200, body, word="fox"))
    project.job()
    states = project.build()
    assert states["portraits:fox"] == "failed"
    assert states["portraits:owl"] == "generated"
    assert word in project.problems["portraits:fox"].what, project.report


@pytest.mark.parametrize("loses", ["answer", "reset", "head", "body"])
def test_an_answer_that_one_s_own_server_loses_costs_that_image_alone(serve: Serve, loses: Any) -> None:
    project = serve("vllm")
    project.fake.faults.append(Fault(loses=loses, word="fox"))
    project.job()
    assert project.build() == {"portraits:fox": "failed", "portraits:owl": "generated"}
    assert "paid" not in project.report
    assert project.build() == {"portraits:fox": "generated"}


SAID = [
    ("vllm", 400, {"error": {"message": "too much SALT", "type": "Bad Request", "param": None, "code": 400}}),
    ("vllm", 500, {"error": {"message": "Image generation failed: SALT", "type": "x", "code": 500}}),
    ("sglang", 400, {"detail": "no SALT here"}),
    ("sglang", 422, {"detail": [{"type": "missing", "loc": ["body", "salt"], "msg": "SALT required", "input": {}}]}),
    ("sglang", 500, "Internal Server Error"),
    ("lemonade", 500, {"error": {"message": "SALT", "type": "backend_error", "status_code": 400, "details": {}}}),
    ("localai", 500, {"error": {"code": 500, "message": "could not load model: SALT", "type": ""}}),
    ("localai", 500, None),
    ("sdcpp", 400, {"error": "SALT required"}),
    ("sdcpp", 500, {"error": "server_error", "message": "[json.exception.type_error.302] SALT"}),
    ("lemonade", 500, {"error": {"message": "x", "type": "backend_error", "details": {"response": {"error": "SALT"}}}}),
]


@pytest.mark.parametrize(("program", "status", "body"), SAID)
def test_what_the_server_says_is_passed_on(serve: Serve, program: str, status: int, body: Any) -> None:
    project = serve(program)
    project.fake.faults.append(failing(status, body, times=None))
    project.job(items=one())
    assert project.build() == {"portraits:fox": "failed"}
    what = project.problems["portraits:fox"].what
    assert "SALT" in what or "SALT" not in str(body), what
    assert '"' not in what, "it is shown as JSON"
    assert project.fake.pictures == []


def test_the_format_is_read_from_the_image_itself(serve: Serve) -> None:
    project = serve("sglang")
    image = Picture("a fox", (64, 64), 7, format="jpeg").encode()
    project.job(items=one())
    said = {"data": [{"b64_json": base64.b64encode(image).decode()}], "output_format": "png"}
    project.fake.faults.append(Fault(Answer(200, said)))
    assert project.build() == {"portraits:fox": "generated"}, project.report
    assert read_image(project.image("fox").read_bytes()).format == "png"


@pytest.mark.parametrize("program", OWN)
def test_a_key_that_it_does_not_get_or_take_is_said(
    serve: Serve, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = serve(program, key="sk-secret-word")
    project.settings_file(dialect=program)
    project.job(items=one(openai={"model": MODELS[program]} if program != "sdcpp" else {}))
    project.environ(OPENAI_API_KEY="sk-wrong-word1")
    if program == "sglang":
        project.fake.program.is_open = lambda path: "model_info" in path  # type: ignore[method-assign]
    assert project.build() == {"portraits:fox": "failed"}
    assert "OPENAI_API_KEY" in project.report, project.report
    assert "sk-wrong-word1" not in project.report
    monkeypatch.delenv("OPENAI_API_KEY")
    assert project.build() == {"portraits:fox": "failed"}
    assert "OPENAI_API_KEY" in project.report
    assert project.fake.pictures == []


def test_a_key_that_is_for_another_server_is_said(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    project = serve("vllm", key="sk-of-this-server")
    monkeypatch.delenv("OPENAI_BASE_URL")
    project.environment.clear()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-this-server")
    project.settings_file(url=project.fake.url)
    project.job(items=one())
    assert project.build() == {"portraits:fox": "failed"}
    assert "OPENAI_BASE_URL" in project.report
    assert {asked.authorization for asked in project.fake.asked} == {None}


def test_the_key_is_sent_to_no_server_that_only_a_job_or_the_settings_name(serve: Serve) -> None:
    project, other = serve("vllm", key="sk-mine-alone1"), serve("vllm")
    project.environ(OPENAI_BASE_URL=project.fake.url, OPENAI_API_KEY="sk-mine-alone1")
    project.job(items=one(openai={"server": {"url": other.fake.url}}))
    assert project.build() == {"portraits:fox": "generated"}, project.report
    assert {asked.authorization for asked in other.fake.asked} == {None}
    assert project.fake.asked == []


def test_a_server_that_is_not_there_is_said_once_for_the_job(serve: Serve) -> None:
    project = serve("vllm")
    project.fake.__exit__(None, None, None)
    project.job()
    assert set(project.build().values()) == {"failed"}
    assert project.fake.url in project.report
