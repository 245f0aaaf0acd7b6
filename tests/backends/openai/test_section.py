"""What a job's section resolves to, and which server gets the key: nothing is contacted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imagegen.backends.base import Context, Resolved
from imagegen.backends.openai.dialects import DIALECTS, HONOURED
from imagegen.backends.openai.section import find_dialect, find_key, is_openai, is_paid, resolve
from imagegen.backends.options import find_url
from imagegen.config.settings import read_settings
from imagegen.errors import ImagegenError

KEY = "sk-MARKED"  # a fake


def context(tmp_path: Path, settings: str = "", **environment: str) -> Context:
    (tmp_path / "pyproject.toml").write_text(f"[tool.imagegen.openai]\n{settings}")
    return Context(tmp_path, read_settings(tmp_path, {}, environment), lambda _: b"")


def resolved(tmp_path: Path, section: dict[str, Any], settings: str = "") -> Resolved:
    return resolve(section, context(tmp_path, settings))


def test_what_the_job_does_not_give_is_left_to_the_server(tmp_path: Path) -> None:
    found = resolved(tmp_path, {})
    assert found.only_if_given == {"steps", "cfg", "negative", "sampler", "scheduler"}
    assert found.model is None


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_named_dialect_leaves_out_what_it_does_not_honour(tmp_path: Path, dialect: str) -> None:
    section = {"dialect": dialect, "server": {"url": "http://h/v1"}}
    assert resolved(tmp_path, section).unused == HONOURED - DIALECTS[dialect].fields.keys()


def test_without_a_dialect_nothing_is_left_out_before_the_server_is_asked(tmp_path: Path) -> None:
    assert resolved(tmp_path, {"server": {"url": "http://h/v1"}}).unused == frozenset()


def test_openai_has_the_hosted_dialect_by_its_address(tmp_path: Path) -> None:
    assert "seed" in resolved(tmp_path, {"quality": "low"}).unused
    assert resolved(tmp_path, {"quality": "low"}).extra == {"quality": "low"}


def test_what_the_dialect_does_not_take_is_refused_where_it_stands(tmp_path: Path) -> None:
    with pytest.raises(ImagegenError) as caught:
        resolved(tmp_path, {"true_cfg": 4, "quality": "low", "dialect": "vllm"}, "server.url = 'http://h/v1'")
    (problem,) = caught.value.problems
    assert (problem.where, problem.what) == ("quality", "vLLM-Omni does not take it")


def test_openai_is_no_other_program(tmp_path: Path) -> None:
    with pytest.raises(ImagegenError, match=r"dialect: https://api\.openai\.com is not sd-server"):
        resolved(tmp_path, {"dialect": "sdcpp"})


def test_the_dialect_of_the_settings_is_that_of_their_server(tmp_path: Path) -> None:
    place = context(tmp_path, "dialect = 'sglang'\nserver.url = 'http://h/v1'")
    assert find_dialect({}, place) == "sglang"
    assert find_dialect({"server": {"url": "http://h/v1/"}}, place) == "sglang"
    assert find_dialect({"server": {"url": "http://other/v1"}}, place) == ""
    assert find_dialect({"server": {"url": "https://api.openai.com/v1"}}, place) == "hosted"
    assert find_dialect({"dialect": "vllm"}, place) == "vllm"


def test_the_model_is_the_jobs_or_the_settings(tmp_path: Path) -> None:
    assert resolved(tmp_path, {}, "model = 'a'").model == "a"
    assert resolved(tmp_path, {"model": "b"}, "model = 'a'").model == "b"


def test_a_number_is_the_same_however_it_is_written(tmp_path: Path) -> None:
    section = {"true_cfg": 4, "dialect": "vllm", "server": {"url": "http://h/v1"}}
    assert repr(resolved(tmp_path, section).extra["true_cfg"]) == "4.0"


def test_the_servers_address_is_the_jobs_or_the_settings(tmp_path: Path) -> None:
    default = context(tmp_path, OPENAI_BASE_URL="http://h:8000/v1/").settings.openai_server_url
    assert find_url({}, default) == "http://h:8000/v1"
    assert find_url({"server": {"url": "http://j/v1/"}}, default) == "http://j/v1"


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "https://api.openai.com:443/v1",
        "https://API.OpenAI.com",
        "HTTPS://api.openai.com/x",
    ],
)
def test_openai_gets_the_key(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert is_openai(url)
    assert find_key(url) == KEY


OTHERS = [
    "http://api.openai.com/v1",
    "https://api.openai.com:8443/v1",
    "https://api.openai.com.evil.example/v1",
    "https://api.openai.com./v1",
    "https://evil.example/api.openai.com",
    "https://evil.example/https://api.openai.com/v1",
    r"https://api.openai.com\evil.example/v1",
    r"https://evil.example\api.openai.com/v1",
    "https://evil.example#api.openai.com",
    "https://evil.example?https://api.openai.com/v1",
    "https://xapi.openai.com/v1",
    "https://openai.com/v1",
    "http://127.0.0.1:8000/v1",
    "https://[::1/v1",
    "https://api.openai.com:port/v1",
]


@pytest.mark.parametrize("url", OTHERS)
@pytest.mark.parametrize("ours", ["", "https://mine.example/v1"])
def test_no_other_server_gets_it(monkeypatch: pytest.MonkeyPatch, url: str, ours: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", ours)
    assert find_key(url) == ""


def test_the_address_that_the_environment_names_gets_it_and_what_is_below(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://gpu:8000/mine/v1/")
    for url in ("http://gpu:8000/mine/v1", "http://GPU:8000/mine/v1/", "http://gpu:8000/mine/v1/flux-1.dev"):
        assert find_key(url) == KEY
    others = ["http://gpu/mine/v1", "https://gpu:8000/mine/v1", "http://gpu:8001/mine/v1", "http://gpu:8000/v1"]
    others += [f"http://gpu:8000/{path}" for path in ("", "yours/v1", "mine/v10", "mine", "Mine/v1")]
    steps = ("..", "../../yours", "%2e%2e/yours", "./x", "..;/yours", ".%2E", "%252e%252e", "\\..\\yours", "//x")
    others += [f"http://gpu:8000/mine/v1/{step}" for step in steps]
    for url in others:
        assert find_key(url) == "", url


@pytest.mark.parametrize(
    ("url", "dialect", "is_it"),
    [
        ("https://api.openai.com/v1", "hosted", True),
        ("http://127.0.0.1:8000/v1", "hosted", True),
        ("https://images.example.com/v1", "vllm", True),
        ("https://images.example.com/v1", "", True),
        ("https://other.example.com/v1", "vllm", False),
        ("http://gpu:8000/v1", "vllm", False),
        ("http://134744072/v1", "vllm", True),
    ],
)
def test_whoever_gets_the_key_may_charge_for_images(
    monkeypatch: pytest.MonkeyPatch, url: str, dialect: str, is_it: bool
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", url.replace("other", "images"))
    assert is_paid(url, dialect) is is_it
    monkeypatch.delenv("OPENAI_API_KEY")
    assert is_paid(url, dialect) is (dialect == "hosted")


def test_without_a_key_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert find_key("https://api.openai.com/v1") == ""
