"""The benchmarks that docs/performance.md and docs/scale.md tell of: they run, and their tables mean what they say."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import pytest

from tests.wheels import ROOT


def script(name: str) -> Any:
    """One of tools/bench, as a module."""
    specification = importlib.util.spec_from_file_location(f"bench_{name}", ROOT / f"tools/bench/{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # where its dataclasses look themselves up
    specification.loader.exec_module(module)
    return module


@pytest.mark.long
def test_all_tools_have_as_many_rounds_with_nothing_to_do_and_those_of_the_same_files_one_first_run() -> None:
    found = script("noop").measured(3, 2)
    assert list(found)[:2] == ["imagegen", "plain doit"]
    assert {len(tool.again) for tool in found.values()} == {2}
    if "make" in found:
        assert (found["make"].first is None, found["make -r"].first is None) == (False, True)
