"""The files that say what CI runs hold together."""

from __future__ import annotations

import re

import yaml

from tests.wheels import ROOT


def lines(path: str) -> list[str]:
    return (ROOT / path).read_text("utf-8").splitlines()


def test_pre_commit_runs_what_ci_runs_for_lint_and_types() -> None:
    script = (ROOT / ".ci/run").read_text("utf-8")
    (commands,) = re.findall(r'^echo "== lint and types"\n((?:.+\n)+)', script, re.MULTILINE)
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert [hook["entry"] for hook in local["hooks"]] == commands.splitlines()


def test_the_lowest_versions_are_the_lower_bounds() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    groups = re.findall(
        r"^(?:dependencies|comfyui|gallery|review|mcp|watch|store|cluster) = \[\n(.*?)^\]",
        project,
        re.MULTILINE | re.DOTALL,
    )
    dependencies = "".join(groups)
    bounds = re.findall(r'^    "([^"]+)"', dependencies, re.MULTILINE)
    assert len(bounds) == len(dependencies.splitlines())
    pinned = [line for line in lines("tools/lowest.txt") if not line.startswith("#")]
    assert pinned == [bound.replace(">=", "==", 1) for bound in dict.fromkeys(bounds)]


def test_the_readme_has_one_command_each_to_build_and_to_test() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    commands = [line for block in re.findall(r"^```\n(.*?)^```", text, re.M | re.S) for line in block.splitlines()]
    for end in re.findall(r"readme '([^']+)'", (ROOT / ".ci/run").read_text("utf-8")):
        assert len([line for line in commands if re.search(end + "$", line)]) == 1
