"""What a backend of another package does wrong fails what it is asked for, by its name and the rule that it broke."""

from __future__ import annotations

import io
import math
import os
import signal
import threading
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from imagegen.backends.base import (
    Backend,
    Cancelled,
    GeneratedImage,
    GenerationError,
    MayBeRunningError,
    ModelIdentity,
    Progress,
    Resolved,
    TryAnotherServer,
)
from imagegen.backends.guard import BackendFaultError, FaultyImageError, Guarded, guard
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, Problem
from imagegen.execute.events import Event, Outcome
from imagegen.execute.run import run
from imagegen.execute.worker import ImageProgress
from imagegen.plan.request import Request
from imagegen.project import Project

REQUEST = Request("plug", "One", "a red fox", width=16, height=16, extra={"tone": ["warm"]})


def png(width: int = 16) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, 16), "navy").save(buffer, "PNG")
    return buffer.getvalue()


class Plug(Backend):
    """A sound backend."""

    name: Any = "plug"
    version: Any = "1"
    parameters: Any = frozenset({"prompt", "width", "height", "tone"})
    options: Any = {"tone": {"type": "list"}, "model": {"type": "text"}}  # noqa: RUF012
    model_option: Any = "model"
    default_model: Any = "alpha"
    in_flight: Any = 2
    is_generator: Any = False

    def preflight(self, *_: Any) -> Any:
        return []

    def model_identity(self, *_: Any) -> Any:
        return ModelIdentity("alpha")

    def generate(self, *_: Any) -> Any:
        return GeneratedImage(png())


def plug(**members: Any) -> Guarded:
    guarded = guard("plug", type("Other", (Plug,), members))
    assert isinstance(guarded, Guarded)
    return guarded


def method(result: Callable[..., Any]) -> Callable[..., Any]:
    return lambda _self, *given: result(*given)


def returns(value: object) -> Callable[..., Any]:
    return method(lambda *_: value)


async def awaits(*_: Any) -> Any:
    return GeneratedImage(png())


def raises(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise error

    return fail


def progress(timeout_s: float = 30) -> ImageProgress:
    return ImageProgress(timeout_s, threading.Event())


class Unreadable(GeneratedImage):
    """One member of it raises an error."""

    def __init__(self, member: str) -> None:
        super().__init__(png())
        object.__setattr__(self, "hidden", member)

    def __getattribute__(self, name: str) -> Any:
        if name == object.__getattribute__(self, "__dict__").get("hidden"):
            raise RuntimeError(f"no {name}")
        return super().__getattribute__(name)


@pytest.mark.parametrize(
    ("member", "value", "rule"),
    [
        ("name", 5, "its name is 5, and must be 'plug', as its entry point calls it"),
        ("name", "other", "its name is 'other', and must be 'plug', as its entry point calls it"),
        ("version", 2, "its version is 2, and must be a text of at most 1000 characters"),
        ("version", None, "its version is None, and must be a text of at most 1000 characters"),
        ("version", "1\ud800", r"its version is '1\ud800', and must be a text of"),
        ("parameters", ["prompt"], "its parameters is a list, and must be a frozenset of texts"),
        ("parameters", "prompt", "its parameters is 'prompt', and must be a frozenset of texts"),
        (
            "parameters",
            frozenset({"pormpt"}),
            "its parameters have 'pormpt', which is not a field of a request nor one of its options",
        ),
        (
            "parameters",
            frozenset({1}),
            "its parameters have 1, which is not a field of a request nor one of its options",
        ),
        ("options", ["tone"], "its options is a list, and must be a mapping"),
        ("options", {"tone": "text"}, "its options are not a Cerberus schema of ours: "),
        ("options", {"tone": {"type": "string"}}, "its options are not a Cerberus schema of ours: "),
        (
            "options",
            {5: {"type": "text"}},
            "its options are not plain data: options has the key 5, which is not a text",
        ),
        (
            "options",
            {"tone": {"check_with": print}},
            "its options are not plain data: options.tone.check_with is a builtin_function_or_method, "
            "which is not a JSON value",
        ),
        ("model_option", "checkpoint", "its model_option is 'checkpoint', which is not one of its options"),
        ("model_option", None, "its model_option is None, and must be a text"),
        ("default_model", 3, "its default_model is 3, and must be a text of"),
        ("in_flight", "2", "its in_flight is '2', and must be a whole number, at least 1"),
        ("in_flight", 0, "its in_flight is 0, and must be a whole number, at least 1"),
        ("in_flight", True, "its in_flight is True, and must be a whole number, at least 1"),
        (
            "version",
            "1" * 1001,
            "its version is '1111111111111111111111111111111111111111', and must be a text of at most",
        ),
        ("is_generator", "no", "its is_generator is 'no', and must be True or False"),
        ("preflight", None, "its preflight is None, and must be a method"),
        (
            "version",
            property(raises(SystemExit("no"))),
            "its members cannot be read: SystemExit: no (at test_guard.py:",
        ),
        ("preflight", lambda _self: [], "its preflight cannot be called with (requests)"),
        ("generate", lambda _self, _request: None, "its generate cannot be called with (request, progress)"),
        ("generate", awaits, "its generate is async, and must be a method that returns its result"),
    ],
)
def test_a_member_that_is_wrong_is_named_with_what_it_must_be(member: str, value: Any, rule: str) -> None:
    with pytest.raises(BackendFaultError) as caught:
        plug(**{member: value})
    (problem,) = caught.value.problems
    assert problem.what.startswith(f"the backend plug: {rule}")
    assert problem.hint == "fix or uninstall the package that brings it"


def test_all_members_that_are_wrong_are_told_at_once() -> None:
    with pytest.raises(BackendFaultError) as caught:
        plug(version=1, in_flight=0)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: Plug, "its entry point gives the class Plug, and must give an object of a class that inherits from"),
        (lambda: None, "its entry point gives None, and must give an object"),
        (lambda: "plug", "its entry point gives 'plug', and must give an object of a class that inherits from Backend"),
        (Backend, "it has no member 'name', 'parameters'"),
        (raises(RuntimeError("no licence")), "it cannot be made: RuntimeError: no licence"),
        (raises(SystemExit(3)), "it cannot be made: SystemExit: 3"),
        (lambda needed: needed, "it cannot be made: TypeError: "),
    ],
)
def test_what_cannot_be_made_is_named(make: Callable[[], object], rule: str) -> None:
    with pytest.raises(BackendFaultError) as caught:
        guard("plug", make)
    assert caught.value.problem.what.startswith(f"the backend plug: {rule}")


class Unspeakable(Exception):  # noqa: N818 - it is somebody else's
    def __str__(self) -> str:
        raise ValueError


ANYTHING = [
    RuntimeError("no"),
    SystemExit("no"),
    GeneratorExit(),
    RecursionError("no"),
    MemoryError(),
    StopIteration(),
    Unspeakable(),
    TryAnotherServer(),
    GenerationError("\ud800"),
    GenerationError(5),  # type: ignore[arg-type]
    ImagegenError(),
]


@pytest.mark.parametrize("error", ANYTHING, ids=lambda error: type(error).__name__)
def test_whatever_a_method_raises_is_told_as_its_fault(error: BaseException) -> None:
    broken = plug(preflight=raises(error), model_identity=raises(error), generate=raises(error))
    calls: Mapping[str, Callable[[], object]] = {
        "preflight": lambda: broken.preflight([REQUEST]),
        "model_identity": lambda: broken.model_identity(REQUEST),
        "generate": lambda: broken.generate(REQUEST, progress()),
    }
    for name, call in calls.items():
        with pytest.raises(BackendFaultError) as caught:
            call()
        assert caught.value.problem.what.startswith(f"the backend plug: {name} raised {type(error).__name__}")


def test_ctrl_c_of_its_own_is_no_ctrl_c() -> None:
    with pytest.raises(BackendFaultError, match="generate raised KeyboardInterrupt"):
        plug(generate=raises(KeyboardInterrupt())).generate(REQUEST, progress())
    with pytest.raises(BackendFaultError, match="it cannot be made: KeyboardInterrupt"):
        plug(__init__=raises(KeyboardInterrupt()))
    with pytest.raises(BackendFaultError, match="generate raised Cancelled, though nobody asked it to stop"):
        plug(generate=raises(Cancelled())).generate(REQUEST, progress())


def test_ctrl_c_of_the_user_comes_through() -> None:
    def wait(*_: Any) -> ModelIdentity:
        signal.raise_signal(signal.SIGINT)
        return ModelIdentity("alpha")

    with pytest.raises(KeyboardInterrupt):
        plug(model_identity=method(wait)).model_identity(REQUEST)


def test_what_it_may_raise_comes_through() -> None:
    with pytest.raises(GenerationError) as caught:
        plug(generate=raises(GenerationError("no luck", "try again"))).generate(REQUEST, progress())
    assert caught.value.problem == Problem("", "no luck", "try again")
    with pytest.raises(ImagegenError) as refused:
        plug(model_identity=raises(GenerationError("no such model"))).model_identity(REQUEST)
    assert refused.value.problems == (Problem("", "no such model"),)


def test_after_an_error_of_the_system_its_generator_may_have_the_image_yet() -> None:
    with pytest.raises(MayBeRunningError, match="generate raised TimeoutError: the farm did not answer"):
        plug(generate=raises(TimeoutError("the farm did not answer"))).generate(REQUEST, progress())


def test_a_full_disk_is_no_fault_of_a_backend_that_asks_for_its_attempt() -> None:
    class Full(ImageProgress):
        def begin_attempt(self, server: str = "") -> str:  # noqa: ARG002
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left on device"):
        plug(generate=method(lambda _, progress: progress.begin_attempt())).generate(
            REQUEST, Full(30, threading.Event())
        )


@pytest.mark.parametrize(
    ("found", "rule"),
    [
        (None, "preflight returned None, and must return a list of Problem"),
        (iter(()), "preflight returned a tuple_iterator, and must return a list of Problem"),
        ("no", "preflight returned 'no', and must return a list of Problem"),
        (["no"], "preflight gave 'no' among its problems, and each must be a Problem"),
        ([Problem("", "")], "preflight gave a Problem that says nothing: its 'what' is empty"),
        ([Problem("", "\ud800")], r"preflight gave a Problem whose what is '\ud800', and must be a text"),
        ([Problem("One", 7)], "preflight gave a Problem whose what is 7, and must be a text"),  # type: ignore[arg-type]
    ],
)
def test_preflight_returns_problems(found: Any, rule: str) -> None:
    with pytest.raises(BackendFaultError) as caught:
        plug(preflight=returns(found)).preflight([REQUEST])
    assert caught.value.problem.what == f"the backend plug: {rule}"


def test_a_problem_of_what_is_no_image_is_one_of_all() -> None:
    found = plug(preflight=returns([Problem("One", "no"), Problem("a.cfg:3", "no")])).preflight([REQUEST])
    assert found == [Problem("One", "no"), Problem("", "a.cfg:3: no")]


@pytest.mark.parametrize(
    ("found", "rule"),
    [
        (None, "model_identity returned None, and must return a ModelIdentity"),
        ("alpha", "model_identity returned 'alpha', and must return a ModelIdentity"),
        (ModelIdentity(5), "ModelIdentity.id returned 5, and must return a text"),  # type: ignore[arg-type]
        (ModelIdentity("a", "xyz"), "ModelIdentity.digest returned 'xyz', and must return hexadecimal digits, or None"),
        (
            ModelIdentity("a", None, ("b",)),
            "ModelIdentity.files returned a tuple, and must return a tuple of absolute paths",
        ),
        (ModelIdentity("a", 12), "ModelIdentity.digest returned 12, and must return hexadecimal digits, or None"),  # type: ignore[arg-type]
    ],
)
def test_the_models_identity_is_texts(found: Any, rule: str) -> None:
    with pytest.raises(BackendFaultError) as caught:
        plug(model_identity=returns(found)).model_identity(REQUEST)
    assert caught.value.problem.what == f"the backend plug: {rule}"


@pytest.mark.parametrize(
    ("found", "rule"),
    [
        (None, "generate returned None, and must return a GeneratedImage"),
        ("png", "generate returned 'png', and must return a GeneratedImage"),
        (GeneratedImage("png"), "generate returned an image whose data is 'png', and must be bytes"),  # type: ignore[arg-type]
        (Unreadable("data"), "what generate returned cannot be read: RuntimeError: no data"),
    ],
)
def test_without_bytes_there_is_no_image(found: Any, rule: str) -> None:
    with pytest.raises(BackendFaultError) as caught:
        plug(generate=returns(found)).generate(REQUEST, progress())
    assert caught.value.problem.what.startswith(f"the backend plug: {rule}")
    assert not isinstance(caught.value, FaultyImageError)


def step(done: Any, total: Any) -> Callable[..., Any]:
    def generate(_: Request, progress: Progress) -> GeneratedImage:
        progress.event("steps", done=done, total=total)
        return GeneratedImage(png())

    return method(generate)


FAULTY = [
    (returns((png(), {"seed": 1})), "generate returned a tuple, and must return a GeneratedImage"),
    (returns([GeneratedImage(png())]), "generate returned a list, and must return a GeneratedImage"),
    (returns(GeneratedImage(io.BytesIO(png()))), "whose data is a BytesIO, and must be bytes"),  # type: ignore[arg-type]
    (returns(Unreadable("facts")), "returned an image whose facts cannot be kept as JSON: no facts"),
    (returns(png()), "generate returned a bytes, and must return a GeneratedImage"),
    (returns(GeneratedImage(png(), {"loss": math.nan})), "facts.loss is nan, which is not a JSON value"),
    (returns(GeneratedImage(png(), {"by": object()})), "facts.by is an object, which is not a JSON value"),
    (returns(GeneratedImage(png(), {"raw": b"x"})), "facts.raw is a bytes, which is not a JSON value"),
    (returns(GeneratedImage(png(), {1: "x"})), "facts has the key 1, which is not a text"),  # type: ignore[dict-item]
    (returns(GeneratedImage(png(), {"n": 10**5000})), "facts.n is a number of 16610 bits, which is not a JSON value"),
    (returns(GeneratedImage(png(), {"log": "x" * 70_000})), "generate returned facts of more than 64 KiB"),
    (returns(GeneratedImage(png(), engine=7)), "whose engine is 7, and must be one line of at most"),  # type: ignore[arg-type]
    (returns(GeneratedImage(png(), engine="a\nb")), "whose engine is 'a\\nb', and must be one line of at most"),
    (returns(GeneratedImage(png(), engine="x" * 200)), "and must be one line of at most 160 characters"),
    (returns(GeneratedImage(png(), [])), "whose facts is a list, and must be a mapping"),  # type: ignore[arg-type]
    (returns(GeneratedImage(png(), any_size=1)), "whose any_size is 1, and must be True or False"),  # type: ignore[arg-type]
    (step(5, 3), "it reported step 5 of 3, and must report whole numbers in that order"),
    (step(-1, 3), "it reported step -1 of 3"),
    (step("one", 3), "it reported step 'one' of 3"),
]


class Once:
    """A project of one image, run again and again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "jobs").mkdir()
        (root / "jobs/j.yaml").write_text(
            "backend: plug\ngenerate: {width: 16, height: 16}\nitems: [{name: One, prompt: a red fox}]"
        )

    def run(self, **members: Any) -> Outcome:
        project = Project(self.root, Settings(), {"plug": partial(plug, **members)})
        (plan,) = project.plans()
        reported: list[Event] = []
        run(project, plan.outputs, reported.append)
        (outcome,) = (event for event in reported if isinstance(event, Outcome))
        return outcome


@pytest.mark.parametrize(("generate", "rule"), FAULTY, ids=[rule for _, rule in FAULTY])
def test_an_image_that_came_with_a_broken_rule_fails_and_is_restored_by_the_next_run(
    tmp_path: Path, generate: Any, rule: str
) -> None:
    project = Once(tmp_path)
    first = project.run(generate=generate)
    assert first.state == "failed"
    assert first.problem
    assert rule in first.problem.what
    assert project.run(generate=raises(AssertionError())).state == "restored"


def test_an_image_is_kept_whatever_comes_after_it(tmp_path: Path) -> None:
    project = Once(tmp_path)

    def identity(_: Request) -> Any:
        return None if (tmp_path / "generated").exists() else ModelIdentity("alpha")

    def generate(*_: Any) -> GeneratedImage:
        (tmp_path / "generated").touch()
        return GeneratedImage(png())

    first = project.run(generate=method(generate), model_identity=method(identity))
    assert first.state == "failed"
    assert first.problem
    assert "model_identity returned None" in first.problem.what
    assert project.run(generate=raises(AssertionError())).state == "restored"


def test_tidying_up_that_fails_costs_no_image(tmp_path: Path) -> None:
    project = Once(tmp_path)
    first = project.run(generate=returns(GeneratedImage(png(), on_stored=raises(SystemExit("no")))))
    assert first.problem
    assert "the backend plug: GeneratedImage.on_stored raised SystemExit: no" in first.problem.what
    assert project.run(generate=raises(AssertionError())).state == "restored"


@pytest.mark.parametrize("data", [b"", b"<html>", png(17)], ids=["nothing", "a page", "another size"])
def test_what_is_not_the_image_asked_for_is_refused(tmp_path: Path, data: bytes) -> None:
    outcome = Once(tmp_path).run(generate=returns(GeneratedImage(data)))
    assert outcome.problem
    assert outcome.problem.what.startswith("verify: what plug returned cannot be used")


def test_the_request_is_a_copy_that_it_may_change() -> None:
    def change(request: Request, *_: Any) -> GeneratedImage:
        request.extra["tone"].append("cold")
        return GeneratedImage(png())

    plug(generate=method(change)).generate(REQUEST, progress())
    assert REQUEST.extra == {"tone": ["warm"]}


def test_the_working_directory_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def leave(*_: Any) -> list[Problem]:
        os.chdir("/")
        return []

    plug(preflight=method(leave)).preflight([REQUEST])
    assert Path.cwd() == tmp_path


def test_what_it_prints_while_it_is_made_goes_to_the_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    plug(__init__=lambda _: print("loading"))
    assert capsys.readouterr() == ("", "loading\n")


def test_a_generate_that_hangs_is_left_behind_when_the_user_stops_or_its_time_is_over() -> None:
    go_on = threading.Event()
    hanging = plug(generate=lambda *_: go_on.wait())
    hanging.patience_s = 0.01
    with pytest.raises(BackendFaultError, match=r"generate did not end, though its 0\.05 s were over"):
        hanging.generate(REQUEST, progress(0.05))
    with pytest.raises(BackendFaultError, match="generate is still busy with an earlier image"):
        hanging.generate(REQUEST, progress())
    go_on.set()
    cancelled = ImageProgress(30, threading.Event())
    cancelled._cancel.set()
    hanging = plug(generate=lambda *_: threading.Event().wait())
    hanging.patience_s = 0.01
    with pytest.raises(Cancelled) as caught:
        hanging.generate(REQUEST, cancelled)
    assert caught.value.may_be_paid
    with pytest.raises(Cancelled) as caught:
        plug(generate=raises(Cancelled(may_be_paid=False))).generate(REQUEST, cancelled)
    assert not caught.value.may_be_paid


class Resolves(Plug):
    """Its section is resolved to this."""

    found: Any = None

    def resolve(self, *_: Any) -> Any:
        return self.found


@pytest.mark.parametrize(
    ("found", "rule"),
    [
        (None, "resolve returned None, and must return a Resolved"),
        (Resolved({}, 3), "resolve returned the model 3, and must return a text or None"),  # type: ignore[arg-type]
        (Resolved({5: 1}, "a"), "resolve returned an extra that is a dict, and must be a mapping with texts as keys"),  # type: ignore[dict-item]
        (Resolved({"tone": {1, 2}}, "a"), "resolve returned a parameter that is not plain data: extra.tone is a set"),
        (Resolved({"tone": math.inf}, "a"), "resolve returned a parameter that is not plain data: extra.tone is inf"),
        (
            Resolved({}, "a", origins={"ref": 1}),  # type: ignore[dict-item]
            "resolve returned origins as a dict, and must return a mapping of texts",
        ),
        (
            Resolved({}, "a", only_if_given="cfg"),  # type: ignore[arg-type]
            "resolve returned only_if_given as 'cfg', and must return a frozenset",
        ),
    ],
)
def test_what_a_section_is_resolved_to_is_checked(found: Any, rule: str) -> None:
    guarded: Any = guard("plug", type("Resolves", (Resolves,), {"found": found}))
    with pytest.raises(BackendFaultError) as caught:
        guarded.resolve({})
    assert caught.value.problem.what.startswith(f"the backend plug: {rule}")


class Kind(str, Enum):
    PROMPT = "prompt"


class Count(int):
    """As a member of an IntEnum is one."""


def test_kinds_of_texts_and_numbers_are_taken_as_what_they_are() -> None:
    found = plug(version=Kind.PROMPT, parameters={Kind.PROMPT}, in_flight=Count(2))
    assert (found.version, type(found.version)) == ("prompt", str)
    assert {type(one) for one in found.parameters} == {str}
    assert (found.in_flight, type(found.in_flight)) == (2, int)
    made = plug(generate=returns(GeneratedImage(memoryview(png()), {"by": Kind.PROMPT})))  # type: ignore[arg-type]
    image = made.generate(REQUEST, progress())
    assert (image.data, type(image.data), type(image.facts["by"])) == (png(), bytes, str)


def test_what_explains_a_request_is_checked_too() -> None:
    guarded: Any = plug(explain=returns(["prompt: as it is"]))
    assert guarded.explain(REQUEST) == ["prompt: as it is"]
    with pytest.raises(BackendFaultError, match="explain returned None, and must return a list of texts"):
        cast("Any", plug(explain=returns(None))).explain(REQUEST)


def test_a_server_slot_is_one() -> None:
    guarded = plug(batch_key=returns("a"), pick_server=returns(("a", 3)))
    with pytest.raises(BackendFaultError, match="must return None, or one of the batch keys and a ServerSlot"):
        guarded.pick_server({"a": 1})


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (0.04, "0.04"),
        (1, "1"),
        ("0.04", "'0.04'"),
        (Decimal("-0.01"), "a Decimal"),
        (Decimal("NaN"), "a Decimal"),
        (Decimal("Infinity"), "a Decimal"),
    ],
)
def test_a_price_that_is_wrong_is_named(found: object, shown: str) -> None:
    rule = f"price returned {shown}, and must return a Decimal that is not negative, or None"
    with pytest.raises(BackendFaultError, match=rule):
        plug(price=returns(found)).price(REQUEST)


def test_a_price_is_one_or_is_not_known_and_by_default_an_image_costs_nothing() -> None:
    prices = [plug(price=returns(one)).price(REQUEST) for one in (Decimal("0.04"), None)]
    assert [*prices, plug().price(REQUEST)] == [Decimal("0.04"), None, Decimal(0)]


def test_a_concurrency_that_is_wrong_is_found_by_preflight() -> None:
    with pytest.raises(BackendFaultError, match="concurrency returned 0, and must return a whole number, at least 1"):
        plug(concurrency=returns(0)).preflight([REQUEST])


class Old:
    """As for an earlier release: it inherits from nothing."""

    name = "plug"
    parameters = frozenset({"prompt"})

    def generate(self, *_: Any) -> Any:
        return GeneratedImage(png())


def test_a_backend_that_does_not_inherit_has_the_defaults_too() -> None:
    found = guard("plug", Old)
    assert (found.version, found.in_flight, found.preflight([REQUEST])) == ("1", 1, [])
    assert found.generate(REQUEST, progress()).data == png()


@pytest.mark.parametrize(
    ("members", "what", "hint"),
    [
        (
            {"at_once": returns(1), "group": returns("a")},
            "it has the method at_once, it has the method group",
            "rename at_once to concurrency; rename group to batch_key: see docs/backends.md",
        ),
        (
            {"resolve": lambda _self, section, _context: Resolved(section, None)},
            "its resolve takes (section, context)",
            "write resolve(self, section), and use self.context in it: see docs/backends.md",
        ),
    ],
)
@pytest.mark.parametrize("base", [Old, Plug])
def test_a_backend_with_members_of_an_earlier_release_is_refused_with_their_new_names(
    base: type, members: dict[str, Any], what: str, hint: str
) -> None:
    with pytest.raises(BackendFaultError) as caught:
        guard("plug", type("Earlier", (base,), members))
    (problem,) = caught.value.problems
    assert problem.what == f"the backend plug: it was written for an earlier release of imagegen: {what}"
    assert problem.hint == hint


def test_a_backend_may_have_the_old_method_beside_the_new_one() -> None:
    assert plug(at_once=returns(1), concurrency=returns(3)).concurrency(REQUEST) == 3


def test_names_of_an_earlier_release_in_its_code_are_told_as_such() -> None:
    old = plug(
        preflight=method(lambda *_: [Problem("", "no", mend="yes")]),  # type: ignore[call-arg]
        generate=method(lambda _, progress: progress.attempt),
    )
    for call in (lambda: old.preflight([REQUEST]), lambda: old.generate(REQUEST, progress())):
        with pytest.raises(BackendFaultError) as caught:
            call()
        hint = "it was written for an earlier release of imagegen: see docs/backends.md"
        assert caught.value.problem.hint == hint
