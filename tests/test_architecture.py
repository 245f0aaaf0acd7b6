"""The rooms, and which way they may import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "imagegen"
ORDER = (
    {"errors", "calls", "process"},
    {"installation"},
    {"config"},
    {"prompts"},
    {"plan"},
    {"backends", "images", "state"},
    {"project"},
    {"execute", "starter"},
    {"report", "testing"},
    {"review"},
    {"commands"},
    {"tasks"},
    {"doit_commands", "doit_startup"},
    {"__main__"},
)
"""Each room may import from those above it, and from itself."""
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield f"{node.module}.{node.names[0].name}" if node.module == "imagegen" else str(node.module)


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_every_room_has_its_place() -> None:
    assert {room_of(path) for path in MODULES} == set(RANK)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_run_one_way(path: Path) -> None:
    room = room_of(path)
    for module in imports(path):
        if module.startswith("imagegen.") and (other := module.split(".")[1]) not in (
            room,
            "__version__",
            "DISTRIBUTION",
        ):
            assert RANK[other] < RANK[room], f"{name(path)} imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_the_tasks_and_what_reads_its_command_line_import_doit(path: Path) -> None:
    if path == PACKAGE / "commands/command_line.py":  # reads the words with doit's own parsers
        return
    assert room_of(path) in ("tasks", "doit_commands") or not any(
        module.split(".")[0] == "doit" for module in imports(path)
    )


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_backends_talk_to_generators(path: Path) -> None:
    outward = {"requests", "subprocess", "socket", "urllib", "http"}
    if path == PACKAGE / "project/git.py":  # asks git, which is no generator
        outward.remove("subprocess")
    if path in (PACKAGE / "review/address.py", PACKAGE / "review/consent.py"):  # they listen, and ask nobody
        outward.remove("socket")
    assert room_of(path) == "backends" or not outward & {module.split(".")[0] for module in imports(path)}


@pytest.mark.parametrize("path", [path for path in MODULES if room_of(path) == "plan"], ids=name)
def test_the_plan_is_pure(path: Path) -> None:
    assert not {"os", "pathlib", "io", "time", "datetime", "random"} & {m.split(".")[0] for m in imports(path)}
    calls = [
        node.func.id
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    assert "open" not in calls


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_modules_say_what_they_offer(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree), "a module says what it owns"
    assigned = [
        t.id for node in tree.body if isinstance(node, ast.Assign) for t in node.targets if isinstance(t, ast.Name)
    ]
    assert path.name == "__init__.py" or "__all__" in assigned


def test_loading_the_tasks_imports_nothing_that_only_a_build_needs(tmp_path: Path) -> None:
    code = "import sys, imagegen.tasks; print(*{'PIL', 'dask', 'distributed', 'fsspec', 'jinja2', 'psutil', 'rectpack', 'requests', 'rich', 'markdown_it', 'text_unidecode'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
