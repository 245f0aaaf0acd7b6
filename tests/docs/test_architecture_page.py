"""docs/architecture.md: every module of the package has its line, and no module is named that does not exist.

Whoever adds, moves or folds a module changes its line in the page's tables.
"""

from __future__ import annotations

import ast
import re
from collections import Counter

from tests.docs.pages import table
from tests.wheels import ROOT

PAGE = "docs/architecture.md"
FOLDER = ROOT / "imagegen"


def modules() -> list[str]:
    """All modules as the page names them; of a package's own, those that define a class or a function."""
    names = []
    for path in FOLDER.rglob("*.py"):
        name = path.relative_to(FOLDER).with_suffix("").as_posix()
        if path.name != "__init__.py":
            names.append(name)
        elif any(isinstance(one, ast.ClassDef | ast.FunctionDef) for one in ast.parse(path.read_text("utf-8")).body):
            names.append(name.removesuffix("/__init__"))
    return sorted(names)


MODULES = modules()
PACKAGES = [path.parent.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*/__init__.py")]
ROOMS = sorted(name for name in PACKAGES if "/" not in name)


def test_each_module_has_one_line() -> None:
    listed = Counter(cell.strip("`") for cell, *_ in table(PAGE, "module"))
    assert {name: "not in the page" for name in MODULES if name not in listed} == {}
    assert {name: "in the page twice" for name, count in listed.items() if count > 1} == {}
    assert {name: "not a module" for name in listed if name not in (*MODULES, *PACKAGES)} == {}


def test_each_line_says_what_the_module_is_for() -> None:
    assert [name for name, purpose in table(PAGE, "module") if not purpose] == []


def test_each_room_has_its_heading() -> None:
    headings = re.findall(r"^### ([a-z]+):", (ROOT / PAGE).read_text("utf-8"), re.MULTILINE)
    assert sorted(headings) == ROOMS


def test_no_other_module_is_named() -> None:
    names = re.findall(rf"`((?:{'|'.join(ROOMS)})/[a-z_/]+)`", (ROOT / PAGE).read_text("utf-8"))
    assert sorted({name for name in names if name not in (*MODULES, *PACKAGES)}) == []
