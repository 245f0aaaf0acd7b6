"""The test class for authors of backends: ours pass it, and one that breaks a rule does not."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

from imagegen.backends.base import Backend, GeneratedImage, Progress
from imagegen.backends.guard import Guarded, guard
from imagegen.backends.placeholder import PlaceholderBackend
from imagegen.backends.registry import registry
from imagegen.plan.request import Request
from imagegen.testing import BackendContract
from tests.scripted import ScriptedBackend

RULES = [name for name in dir(BackendContract) if name.startswith("test_")]


class TestScripted(BackendContract):
    def backend(self) -> Backend:
        return ScriptedBackend()

    def request(self) -> Request:
        return Request("scripted", "One", "a red fox", width=16, height=16, seed=1, model="colours")


class TestPlaceholder(BackendContract):
    def backend(self) -> Backend:
        return PlaceholderBackend()

    def request(self) -> Request:
        return Request("placeholder", "One", "a red fox", width=64, height=64, seed=1)


class Old:
    """As for an earlier release: it inherits from nothing."""

    name = "old"
    parameters = frozenset({"prompt"})

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        return PlaceholderBackend().generate(request, progress)


class TestOld(BackendContract):
    def backend(self) -> Any:
        return Old()

    def request(self) -> Request:
        return Request("old", "One", "a red fox", width=64, height=64, seed=1)


class Leaves(ScriptedBackend):
    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        made = super().generate(request, progress)
        os.chdir("/")
        return made


class Prints(ScriptedBackend):
    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        print("hello")
        return super().generate(request, progress)


class Changes(ScriptedBackend):
    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        made = super().generate(request, progress)
        dict.update(request.extra, {"added": 1})
        return made


class Hangs(ScriptedBackend):
    def generate(self, *_: Any) -> GeneratedImage:
        threading.Event().wait()
        raise AssertionError


class WrongVersion(ScriptedBackend):
    version = 2  # type: ignore[assignment]


class WrongSize(ScriptedBackend):
    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        made = super().generate(request, progress)
        return GeneratedImage(made.data[:-1])


class Resolves(ScriptedBackend):
    def resolve(self, *_: Any) -> Any:
        return {}


class Prepares(ScriptedBackend):
    def close(self) -> None:
        raise RuntimeError("no server")


class Places(ScriptedBackend):
    def batch_key(self, _: Request) -> Any:
        return "all"

    def pick_server(self, _: Any) -> Any:
        return "none", self


class Explains(ScriptedBackend):
    def explain(self, _: Request) -> Any:
        return {"prompt": "as it is"}


@pytest.mark.parametrize("name", sorted(registry()))
def test_the_members_of_each_of_ours_are_sound(name: str) -> None:
    assert guard(name, registry()[name]).version


@pytest.mark.parametrize(
    ("kind", "rule", "message"),
    [
        (WrongVersion, "test_its_members_are_sound", "its version is 2"),
        (WrongSize, "test_it_generates_a_sound_image_of_the_size_asked_for", "cut off"),
        (Prints, "test_it_leaves_the_request_the_output_and_the_working_directory_alone", "printed"),
        (Leaves, "test_it_leaves_the_request_the_output_and_the_working_directory_alone", "working directory"),
        (Changes, "test_it_leaves_the_request_the_output_and_the_working_directory_alone", "request was changed"),
        (Resolves, "test_what_it_makes_of_an_empty_section", "resolve returned a dict, and must return a Resolved"),
        (Prepares, "test_it_generates_a_sound_image_of_the_size_asked_for", "close raised RuntimeError: no server"),
        (Places, "test_the_server_that_it_picks_generates_the_image", "one of the batch keys and a ServerSlot"),
        (Explains, "test_it_explains_the_request", "explain returned a dict, and must return a list of texts"),
        (Hangs, "test_generate_ends_when_its_time_is_over", "generate did not end"),
        (Hangs, "test_generate_ends_when_the_user_stops", "generate did not end"),
    ],
)
def test_a_rule_that_is_broken_is_named(
    kind: type[ScriptedBackend], rule: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Contract(TestScripted):
        def backend(self) -> Backend:
            return kind()

    monkeypatch.chdir(os.curdir)
    monkeypatch.setattr(Guarded, "patience_s", 0.01)
    assert rule in RULES
    with pytest.raises(Exception, match=message):
        getattr(Contract(), rule)()
