"""The rooms, and which way they may import."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "imagegen"
ORDER = (
    {"errors", "calls", "process", "run_options"},
    {"dodo_faults", "installation"},
    {"config"},
    {"prompts"},
    {"plan"},
    {"backends", "images", "state"},
    {"project"},
    {"execute", "starter"},
    {"report", "testing"},
    {"doit_child"},
    {"review"},
    {"library"},
    {"watch"},
    {"commands"},
    {"tasks"},
    {"doit_faults"},
    {"doit_commands"},
    {"doit_startup"},
    {"guide"},
    {"agents"},
    {"__main__"},
)
"""Each room may import from those above it, and from itself."""
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@functools.cache
def imports(path: Path) -> tuple[str, ...]:
    found: list[str] = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.append(f"{node.module}.{node.names[0].name}" if node.module == "imagegen" else str(node.module))
    return tuple(found)


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_every_room_has_its_place() -> None:
    assert {room_of(path) for path in MODULES} == set(RANK)


def test_imports_run_one_way() -> None:
    upward = [
        f"{name(path)} imports {module}"
        for path in MODULES
        for module in imports(path)
        if module.startswith("imagegen.")
        and (other := module.split(".")[1]) not in (room_of(path), "__version__", "DISTRIBUTION")
        and RANK[other] >= RANK[room_of(path)]
    ]
    assert upward == []


def test_only_the_tasks_and_what_reads_its_command_line_import_doit() -> None:
    allowed = PACKAGE / "commands/command_line.py"  # reads the words with doit's own parsers
    importing = [path for path in MODULES if any(module.split(".")[0] == "doit" for module in imports(path))]
    assert [
        name(path)
        for path in importing
        if path != allowed and room_of(path) not in ("tasks", "doit_commands", "doit_faults")
    ] == []


def test_only_backends_talk_to_generators() -> None:
    outward = {"requests", "subprocess", "socket", "urllib", "http"}
    talking = {
        (name(path), module.split(".")[0])
        for path in MODULES
        if room_of(path) != "backends"
        for module in imports(path)
        if module.split(".")[0] in outward
    }
    assert talking == {
        ("doit_child.py", "subprocess"),
        ("project/git.py", "subprocess"),  # asks git, which is no generator
        ("report/summary_file.py", "urllib"),  # only writes addresses
        ("review/address.py", "socket"),  # these listen, and ask nobody
        ("review/consent.py", "socket"),
    }


def test_no_pattern_ends_with_a_slash_which_finds_files_too_before_python_3_11() -> None:
    found = [
        f"{name(path)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("glob", "rglob")
        if any(isinstance(word, ast.Constant) and str(word.value).endswith("/") for word in node.args)
    ]
    assert found == []


@pytest.mark.parametrize("path", [path for path in MODULES if room_of(path) == "plan"], ids=name)
def test_the_plan_is_pure(path: Path) -> None:
    assert not {"os", "pathlib", "io", "time", "datetime", "random"} & {m.split(".")[0] for m in imports(path)}
    calls = [
        node.func.id for node in ast.walk(tree(path)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    assert "open" not in calls


def test_modules_say_what_they_offer() -> None:
    for path in MODULES:
        assert ast.get_docstring(tree(path)), f"{path}: a module says what it owns"
        assigned = [
            target.id
            for node in tree(path).body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        ]
        assert path.name == "__init__.py" or "__all__" in assigned, path


def test_loading_the_tasks_imports_nothing_that_only_a_build_needs(tmp_path: Path) -> None:
    code = "import sys, imagegen.tasks; print(*{'PIL', 'dask', 'distributed', 'fsspec', 'jinja2', 'psutil', 'rectpack', 'requests', 'rich', 'markdown_it', 'text_unidecode', 'watchfiles'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def test_whatever_reads_what_the_user_wrote_raises_input_errors() -> None:
    """So `doit` ends with the same code for whatever is wrong with a job, a prompt source or a setting."""
    fault_of_a_backend = ["config/json_schema.py"]
    other = [
        name(path)
        for path in MODULES
        if room_of(path) in ("config", "prompts", "plan")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id in ("ImagegenError", "NotBegunError")
    ]
    assert other == fault_of_a_backend
