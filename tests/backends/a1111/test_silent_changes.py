"""With any program, an image is as its request says in every field, or it is refused: never silently another one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.backends.base import GeneratedImage
from imagegen.plan.request import Request
from tests.backends.a1111.calls import generate, make_request
from tests.backends.a1111.fake_a1111 import FakeA1111
from tests.backends.a1111.fake_programs import PROGRAMS, Picture

TAG = "<lora:tint:1>"
WORDS = [
    "a fox",
    "an owl",
    " ",
    "ä🦊",
    ",",
    "(x:1.2)",
    "\n",
    "# x",
    "//",
    "/* y */",
    "{a|b}",
    "__c__",
    TAG,
    "<lora:no:1>",
]
SAMPLERS = sorted({name for program in PROGRAMS.values() for name in program().samplers} | {"k_euler", "none such"})
SCHEDULERS = ["karras", "Karras", "SGM Uniform", "sgm_uniform", "discrete", "normal", "Automatic", "lcm", "ays"]
ORDINARY = st.sampled_from([True] * 9 + [False])
"""Whether a field is one that every program takes: so that not every request is refused."""


@st.composite
def requests(draw: st.DrawFn, fake: FakeA1111) -> Request:
    program = fake.program

    def pick(ordinary: list[Any], other: list[Any]) -> Any:
        return draw(st.sampled_from(ordinary if draw(ORDINARY) else other))

    samplers = pick([list(program.samplers)], [SAMPLERS])
    sampler = draw(st.sampled_from(samplers))
    texts = [
        "".join(draw(st.lists(st.sampled_from(pick([WORDS[:6]], [WORDS])), min_size=least, max_size=4)))
        for least in (1, 0)
    ]
    loras = draw(st.lists(st.sampled_from([*program.loras, "none such"]), max_size=2)) if not draw(ORDINARY) else []
    scheduler = {"scheduler": draw(st.sampled_from(SCHEDULERS))} if not draw(ORDINARY) else {}
    return make_request(
        fake,
        prompt=texts[0],
        negative=texts[1],
        width=pick([128, 192, 256], [8, 64, 72, 100, 200]),
        height=pick([128, 192], [64, 136]),
        steps=pick([1, 4, 80], [81, 150, 1000]),
        cfg=pick([1.0, 4.5, 7.0], [0.0, 0.5, 30.0]),
        sampler=pick([sampler], [sampler.lower(), sampler.upper()]),
        seed=pick([0, 42, 2**31 - 1, 2**31, 2**32 - 1], [2**32, 2**40]),
        model=pick([*program.checkpoints], ["one", "none such"]),
        extra={"loras": dict.fromkeys(loras, 0.5)} if loras else {},
        **scheduler,
    )


@pytest.fixture(scope="module", params=PROGRAMS)
def fake(request: pytest.FixtureRequest) -> Iterator[FakeA1111]:
    with FakeA1111(request.param) as made:
        yield made


@given(data=st.data())
def test_an_image_is_as_its_request_says_or_refused(fake: FakeA1111, data: st.DataObject) -> None:
    request = data.draw(requests(fake))
    fake.pictures.clear()
    if isinstance(generate(fake, request), GeneratedImage):
        (picture,) = fake.pictures
        assert describe(picture, request, fake) == expect(request, fake)


def describe(picture: Picture, request: Request, fake: FakeA1111) -> dict[str, Any]:
    """Return what the picture really is."""
    has_scheduler = "scheduler" in request.given
    return {
        "prompt": plain(picture.prompt),
        "negative": picture.negative,
        "numbers": (picture.width, picture.height, picture.steps, picture.cfg, picture.seed),
        "sampler": picture.sampler.lower(),
        "scheduler": fake.program.schedulers[picture.scheduler].lower() if has_scheduler else "",
        "loras": {stem(name): strength for name, strength in picture.loras.items()},
        "checkpoint": stem(picture.checkpoint),
    }


def expect(request: Request, fake: FakeA1111) -> dict[str, Any]:
    """Return what the request asks for, of names those of the program."""
    program = fake.program
    has_tags = program.name in ("a1111", "forge", "reforge", "sdnext")
    tagged = {"tint": 1.0} if has_tags and TAG in request.prompt else {}
    seeds = 2**31 if program.name in ("sd-server", "koboldcpp") else 2**32
    labels = {name: label.lower() for name, label in program.schedulers.items()}
    scheduler = request.scheduler.lower() if "scheduler" in request.given else ""
    return {
        "prompt": plain(request.prompt.replace(TAG, "") if has_tags else request.prompt),
        "negative": request.negative,
        "numbers": (request.width, request.height, request.steps, request.cfg, (request.seed or 0) % seeds),
        "sampler": {"k_euler": "euler"}.get(request.sampler, request.sampler.lower()),
        "scheduler": labels.get(scheduler, scheduler),
        "loras": tagged | {stem(name): strength for name, strength in request.extra.get("loras", {}).items()},
        "checkpoint": stem(request.model),
    }


def stem(name: str) -> str:
    return name.rpartition("/")[2].removesuffix(".safetensors").removesuffix(".ckpt")


def plain(prompt: str) -> str:
    """Return a prompt without the comma that koboldcpp adds, and without blanks at its ends."""
    return prompt.strip(" ,\n")
