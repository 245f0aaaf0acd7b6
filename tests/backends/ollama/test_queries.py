"""What the command line tells of itself, its server and its models."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagegen.backends.ollama.command import Command
from imagegen.backends.ollama.queries import Listed, Shown, Versions, has_image_flags, listed, shown, versions
from imagegen.errors import ImagegenError
from tests.backends.ollama.parts import MODEL, command_of, script
from tests.backends.ollama.standin.fixture import StandIn


def saying(folder: Path, text: str, code: int = 0) -> Command:
    (folder / "said").write_text(text, "utf-8")
    return script(folder, f"cat {folder}/said; exit {code}")


def test_both_versions_are_known_where_they_are_one(shared: StandIn) -> None:
    assert versions(command_of(shared)) == Versions("0.32.5", "0.32.5")


def test_the_clients_is_told_from_the_servers(shared: StandIn) -> None:
    other = shared.install(shared.folder / "newer", "0.32.15")
    assert versions(Command(str(other), shared.host)) == Versions("0.32.15", "0.32.5")


def test_the_servers_is_empty_where_none_answers(shared: StandIn) -> None:
    assert versions(Command(command_of(shared).executable, "127.0.0.1:9")) == Versions("0.32.5", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo llama farm 3", "llama farm 3"),
        ("printf '\\033[1mbold\\033[0m\\nclaim'", "bold claim"),
        ("echo 'panic: $HOME is not defined' >&2; exit 2", "panic: $HOME is not defined"),
        ("exit 1", ""),
    ],
)
def test_what_is_no_ollama_is_told_with_its_own_words(tmp_path: Path, text: str, said: str) -> None:
    command = script(tmp_path, text)
    with pytest.raises(ImagegenError) as caught:
        versions(command)
    assert caught.value.problems[0].what == f"{command.executable} is no Ollama: --version says '{said}'"


@pytest.mark.parametrize(("version", "has"), [("0.14.2", False), ("0.14.3", True), ("0.32.5", True), ("0.32.6", False)])
def test_the_flags_for_images_are_looked_for_without_a_server(tmp_path: Path, version: str, has: bool) -> None:
    executable = StandIn(tmp_path / "ollama", version).bin / "ollama"
    assert has_image_flags(Command(str(executable), "127.0.0.1:9")) is has


def test_models_are_listed_by_name_and_tag(shared: StandIn) -> None:
    digest = shared.model()
    assert listed(command_of(shared))[f"{MODEL}:latest"] == Listed(digest[:12], "12 GB")


def test_no_models_are_no_rows(tmp_path: Path) -> None:
    assert listed(saying(tmp_path, "NAME    ID    SIZE    MODIFIED \n")) == {}


def test_odd_rows_do_no_harm(tmp_path: Path) -> None:
    text = (
        "NAME                       ID              SIZE      MODIFIED     \n"
        "minimax-m2:cloud           698602ff1bce    -         2 weeks ago  \n"
        "\n"
        "x/a-name-that-is-as-long-as-the-column:latest    0123456789ab    5.7 GB    Less than a second ago\n"
        "some words\n"
        "two  columns\n"
        "名前:latest    abcdefabcdef    12 GB    3 days ago\r\n"
    )
    assert listed(saying(tmp_path, text)) == {
        "minimax-m2:cloud": Listed("698602ff1bce", "-"),
        "x/a-name-that-is-as-long-as-the-column:latest": Listed("0123456789ab", "5.7 GB"),
        "名前:latest": Listed("abcdefabcdef", "12 GB"),
    }


def test_a_list_that_fails_says_why(shared: StandIn) -> None:
    with pytest.raises(ImagegenError, match="ollama list: could not connect to ollama server"):
        listed(Command(command_of(shared).executable, "127.0.0.1:9"))


def test_what_a_model_can_do_and_its_licence(shared: StandIn) -> None:
    assert shown(command_of(shared), MODEL) == Shown(("image",), "Apache License Version 2.0, January 2004")


def test_a_model_without_a_licence_shows_none(ollama: StandIn) -> None:
    ollama.model("x/free", licence="")
    assert shown(command_of(ollama), "x/free") == Shown(("image",), "")


def test_nothing_is_known_where_a_newer_one_refuses_to_show(shared: StandIn) -> None:
    newer = shared.install(shared.folder / "newest", "0.32.15")
    assert shown(Command(str(newer), shared.host), MODEL) == Shown()


def test_a_licence_is_one_short_line_of_plain_text(tmp_path: Path) -> None:
    text = (
        f"  Capabilities\n    image    \n    vision    \n\n  License\n    \u202eevil {'x' * 500}\n    two\n    three\n"
    )
    found = shown(saying(tmp_path, text), MODEL)
    assert found.capabilities == ("image", "vision")
    assert found.licence.startswith("evil xxx")
    assert len(found.licence) == 120
