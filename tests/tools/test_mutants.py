"""The deliberate faults: each can still be made, and a test notices each."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

from tests.docs.pages import table
from tests.wheels import ROOT


@pytest.fixture(scope="module")
def mutants() -> ModuleType:
    specification = importlib.util.spec_from_file_location("mutants", ROOT / "tools/mutants/mutants.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["mutants"] = module
    specification.loader.exec_module(module)
    return module


def test_each_fault_can_be_made_and_is_python(mutants: Any) -> None:
    for fault in mutants.FAULTS:
        for file, text in mutants.broken(fault, ROOT).items():
            assert text != file.read_text("utf-8"), fault.name
            compile(text, file, "exec")


def test_the_tests_that_are_to_catch_them_are_there(mutants: Any) -> None:
    for fault in mutants.FAULTS:
        for test in fault.tests:
            file, _, name = test.partition("::")
            assert f"def {name.partition('[')[0]}" in (ROOT / file).read_text("utf-8"), test


def test_a_text_that_is_not_there_just_once_is_told(mutants: Any) -> None:
    fault, edit = type(mutants.FAULTS[0]), type(mutants.FAULTS[0].edits[0])
    for old, count in (("no such text", "0"), ("import", "[1-9][0-9]?")):
        gone = fault("a fault", (), (edit("imagegen/state/atomic.py", old, ""),))
        with pytest.raises(ValueError, match=rf"^a fault: imagegen/state/atomic\.py has {count} times"):
            mutants.broken(gone, ROOT)


def test_the_page_lists_them_with_the_files_of_their_tests(mutants: Any) -> None:
    expected = []
    for fault in mutants.FAULTS:
        (file,) = {test.partition("::")[0] for test in fault.tests}
        expected.append([fault.name, f"`{file.removeprefix('tests/').removesuffix('.py')}`"])
    assert table("docs/reliability.md", "deliberate fault") == expected


@pytest.mark.long
def test_a_test_notices_each_fault() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools/mutants/mutants.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
