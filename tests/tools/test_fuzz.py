"""The fuzzer's readers, without the fuzzer: what must hold does for its seeds, and for each of them spoilt a little."""

from __future__ import annotations

import importlib.util
import random
import sys
from types import ModuleType
from typing import Any

import pytest

from tests.marks import long
from tests.wheels import ROOT


@pytest.fixture(scope="module")
def readers() -> ModuleType:
    specification = importlib.util.spec_from_file_location("readers", ROOT / "tools/fuzz/readers.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["readers"] = module  # where its dataclasses look themselves up
    specification.loader.exec_module(module)
    return module


def spoilt(data: bytes, words: list[str], dice: random.Random) -> bytes:
    at, end = sorted(dice.choices(range(len(data) + 1), k=2))
    word = dice.choice(words).encode("utf-8", "surrogatepass")
    return dice.choice([data[:at] + data[end:], data[:at] + word + data[at:], data[:end] + data[at:], data[:at] + word])


@pytest.mark.parametrize("times", [3, long(200)])
@pytest.mark.parametrize("name", ["yaml", "json", "markdown", "csv", "lock", "png", "webp", "jpeg", "avif"])
def test_whatever_comes_is_read_or_refused(readers: Any, name: str, times: int) -> None:
    assert name in readers.READERS
    reader = readers.READERS[name]
    dice = random.Random(times)  # noqa: S311 - the same each time
    for seed in reader.seeds():
        reader.try_one(seed)
        for _ in range(times):
            reader.try_one(spoilt(seed, reader.words(), dice))
