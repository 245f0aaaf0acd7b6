"""Which program a server is, by what it has where."""

from __future__ import annotations

from typing import Any

import pytest

from imagegen.backends.a1111.programs import (
    A1111,
    DRAW_THINGS,
    FORGE,
    KOBOLDCPP,
    OTHER,
    REFORGE,
    SD_NEXT,
    SD_SERVER,
    Program,
    identify,
)
from imagegen.backends.a1111.server import Server
from tests.backends.a1111.fake_a1111 import FakeA1111

LISTS: dict[str, Any] = {"/sdapi/v1/options": {"samples_format": "png"}, "/sdapi/v1/sd-models": []}
VAES: dict[str, Any] = {"/sdapi/v1/sd-vae": []}


@pytest.mark.parametrize(
    ("fake", "program", "version"),
    [
        ("a1111", A1111, ""),
        ("forge", FORGE, ""),
        ("reforge", REFORGE, ""),
        ("sdnext", SD_NEXT, "0a1b2c3d"),
        ("koboldcpp", KOBOLDCPP, "1.117.1"),
        ("sd-server", SD_SERVER, ""),
        ("draw-things", DRAW_THINGS, ""),
    ],
    indirect=["fake"],
)
def test_each_program_is_recognised(fake: FakeA1111, program: Program, version: str) -> None:
    assert identify(Server(fake.url).find) == (program, version)


@pytest.mark.parametrize(
    ("found", "program"),
    [
        (LISTS, OTHER),
        (LISTS | VAES, A1111),
        (LISTS | VAES | {"/sdapi/v1/schedulers": [{"name": "karras"}]}, A1111),
        (LISTS | VAES | {"/sdapi/v1/schedulers": [{"name": "karras dynamic"}]}, REFORGE),
        (LISTS | {"/sdapi/v1/sd-modules": []}, FORGE),
        (LISTS | {"/api/extra/version": {"result": "KoboldCpp"}}, KOBOLDCPP),
        (LISTS | {"/sdcpp/v1/capabilities": {"samplers": []}}, SD_SERVER),
        (LISTS | {"/sdapi/v1/version": {"app": "another"}}, OTHER),
    ],
)
def test_what_it_has_decides(found: dict[str, Any], program: Program) -> None:
    assert identify(found.get) == (program, "")


@pytest.mark.parametrize("at_each", [None, {}, "text", 1])
def test_what_has_no_such_api_is_none_of_them(at_each: object) -> None:
    assert identify(lambda _: at_each) is None


def test_nothing_is_asked_for_that_holds_a_password(fake: FakeA1111) -> None:
    identify(Server(fake.url).find)
    assert fake.asked
    assert not fake.count("/cmd-flags")
