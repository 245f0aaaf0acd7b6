from __future__ import annotations

import pytest

from imagegen.commands.command import COMMANDS
from imagegen.commands.command_line import read_invocation


@pytest.mark.parametrize(
    ("line", "options"),
    [
        (["--prompt", "E=mc2", "--width=64"], {"prompt": ["E=mc2"], "width": 64}),
        (["--width", "64", "--prompt", "a=b"], {"prompt": ["a=b"], "width": 64}),
        (["--prompt=a=b"], {"prompt": ["a=b"]}),
        (["--prompt", "backend=comfyui"], {"prompt": ["backend=comfyui"]}),
        (["--prompt", "x", "--prompt", "a=b", "--name", "c=d"], {"prompt": ["x", "a=b"], "name": "c=d"}),
        (["--negative", "x=1", "--prompt", "x"], {"prompt": ["x"], "negative": "x=1"}),
        (["--negative=", "--prompt", "x"], {"prompt": ["x"], "negative": ""}),
        (["--seed", "-5", "--cfg", "3.5", "--out=x=1.png"], {"seed": -5, "cfg": 3.5, "out": "x=1.png"}),
        (["--wid", "64"], {"width": 64}),
    ],
)
def test_an_option_has_its_value_whatever_is_in_it(line: list[str], options: dict[str, object]) -> None:
    read = read_invocation(["image", *line])
    assert (read.problems, read.variables) == ((), ())
    [call] = read.calls
    assert call.options == options


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["image", "--stpes=3"], "doit image: unknown option --stpes; did you mean --steps?"),
        (["image", "-prompt", "x"], "doit image: unknown option -prompt; did you mean --prompt?"),
        (["image", "--Prompt", "x"], "doit image: unknown option --Prompt; did you mean --prompt?"),
        (["image", "--s", "3"], "--s may be --steps or --sampler or --scheduler or --seed or --save"),
        (["image", "--prompt"], "--prompt has no value"),
        (["image", "--prompt", "--width=64"], "--prompt has no value: '--width=64' follows it"),
        (["image", "--prompt="], "--prompt is empty"),
        (["image", "--prompt", "   "], "--prompt is empty"),
        (["image", "--width", "64px"], "--width=64px: expected a whole number"),
        (["image", "--steps=3.5"], "--steps=3.5: expected a whole number"),
        (["image", "--width", "١٢"], "expected a whole number"),
        (["image", "--cfg=high"], "--cfg=high: expected a number"),
        (["image", "--cfg=nan"], "--cfg=nan: expected a number"),
        (["image", "--format=jpg"], "expected one of png, webp, jpeg, avif; did you mean 'jpeg'?"),
        (["image", "--", "a=b"], "did you mean --prompt=a=b?"),
        (["comfyui:setup", "--torch=CUDA"], "did you mean 'cuda'?"),
        (["why", "icons", "--jsn"], "doit why: unknown option --jsn; did you mean --json?"),
        (["why", "\u2014check"], "begins with a dash that is not a hyphen\n    write --check"),
        (["image", "\u2013prompt=x"], "write --prompt=x"),
        (["why", "--json=yes"], "--json takes no value"),
        (["prune", "-x"], "unknown option -x"),
        (["prune", "--x"], "unknown option --x"),
        (["-o", "a=b.txt"], "doit takes 'a=b.txt' for a variable\n    write -oa=b.txt"),
        (["list", "--template", "a={name}"], "write --template=a={name}"),
    ],
)
def test_an_option_that_there_is_not_is_refused_in_plain_words(line: list[str], message: str) -> None:
    problems = "\n".join(map(str, read_invocation(line).problems))
    assert message in problems
    assert "CmdOption" not in problems


def test_names_options_and_settings_may_be_mixed_after_a_command() -> None:
    read = read_invocation(["why", "icons", "--json", "backend=placeholder", "portraits:a"])
    assert read.variables == (("backend", "placeholder"),)
    assert read.words == ("why", "icons", "portraits:a")
    [call] = read.calls
    assert (call.names, call.options) == (["icons", "portraits:a"], {"json": True})


def test_what_follows_two_dashes_is_a_name() -> None:
    [call] = read_invocation(["reroll", "--", "--odd", "a=b"]).calls
    assert (call.names, call.variables) == (["--odd", "a=b"], [])


@pytest.mark.parametrize(
    ("line", "command", "words"),
    [
        (["-a", "-n", "4", "x:y"], "run", ("x:y",)),
        (["run", "-a", "x:y"], "run", ("x:y",)),
        (["-f", "other.py", "list", "--all"], "list", ()),
        (["backend=placeholder", "-k", "x"], "run", ("x",)),
        (["-k", "clean", "x"], "clean", ("x",)),
        (["server:stop", "server:start"], "run", ("server:stop", "server:start")),
    ],
)
def test_the_options_of_doit_are_its_own(line: list[str], command: str, words: tuple[str, ...]) -> None:
    read = read_invocation(line)
    assert (read.command, read.words, read.problems) == (command, words, ())
    assert read.always == ("-a" in line)
    assert read.lists_all == ("--all" in line)


def test_a_random_seed_is_answered_with_what_to_write() -> None:
    [call] = read_invocation(["image", "--prompt", "x", "--seed", "random"]).calls
    [problem] = call.problems
    assert problem.what == "--seed=random: expected a whole number"
    assert "{seed: {mode: random}}" in problem.hint


@pytest.mark.parametrize("asked", ["--help", "-h", "--hel"])
@pytest.mark.parametrize("name", ["why", "image", "gallery", "server:start", "comfyui:setup", "store:push"])
def test_each_command_can_be_asked_for_help(name: str, asked: str) -> None:
    [call] = read_invocation([name, asked]).calls
    assert call.wants_help
    assert not call.problems


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_help_page_has_the_usage_the_options_and_an_example(name: str) -> None:
    command = COMMANDS[name]
    assert command.help.startswith(f"Usage: doit {name}")
    assert all(f"--{one['long']}" in command.help and one["help"] for one in command.options)
    assert all(line.startswith(f"doit {name}") for line in command.examples)
    assert "Examples:" in command.help
    assert max(map(len, command.help.splitlines())) <= 120
