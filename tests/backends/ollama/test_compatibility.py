"""Which Ollama generates images: by its versions, its flags and its machine."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imagegen.backends.machine import Machine, this_machine
from imagegen.backends.ollama.cli import Versions
from imagegen.backends.ollama.compatibility import (
    check_compatibility,
    check_requests,
    explain_not_installed,
    explain_not_running,
    has_mlx_libraries,
    suggest_upgrade,
)
from tests.backends.ollama.fake_ollama.cli import IMAGE_FILE
from tests.backends.ollama.parts import request

MAC, INTEL, LINUX = Machine("Darwin", "arm64"), Machine("Darwin", "x86_64"), Machine("Linux", "x86_64")


def judged(
    client: str, server: str = "", flags: bool = True, machine: Machine | None = MAC, payload: bool = True
) -> str:
    problem = check_compatibility(Versions(client, server or client), flags, machine, payload)
    return problem.what if problem else ""


@pytest.mark.parametrize(
    "version", ["0.14.3", "0.15.9", "0.16.2", "0.23.0", "0.23.3", "0.32.5", "0.32.5-rc1", "0.0.0", "custom"]
)
def test_versions_that_make_images(version: str) -> None:
    assert judged(version) == ""


@pytest.mark.parametrize(
    ("client", "server", "flags", "what"),
    [
        ("0.32.6", "", False, "Ollama 0.32.6 is too new to generate images: that was taken out after 0.32.5"),
        ("1.0.0", "", False, "Ollama 1.0.0 is too new"),
        ("0.14.2", "", False, "Ollama 0.14.2 is too old to generate images: that came with 0.14.3"),
        ("0.9.12", "", False, "Ollama 0.9.12 is too old"),
        ("0.0.0", "", False, "Ollama 0.0.0 is a version without image flags, and unable to generate images"),
        ("0.16.0", "", True, "Ollama 0.16.0 generates broken images, or none (ollama/ollama#14234)"),
        ("0.23.2", "", True, "Ollama 0.23.2 generates broken images, or none (ollama/ollama#16096)"),
        ("0.32.5", "0.16.1", True, "Ollama 0.16.1 generates broken images"),
        ("0.23.1", "0.32.5", True, "Ollama's client 0.23.1 generates broken images"),
        ("0.32.5", "0.32.6", True, "Ollama's client is 0.32.5 and its server 0.32.6: the server is too new"),
        ("0.32.6", "0.32.5", False, "Ollama's client is 0.32.6 and its server 0.32.5: the client is too new"),
        ("0.14.2", "0.32.5", False, "Ollama's client is 0.14.2 and its server 0.32.5: the client is too old"),
        ("0.32.5", "0.14.2", True, "Ollama's client is 0.32.5 and its server 0.14.2: the server is too old"),
        ("0.40.1", "0.14.2", True, "Ollama's client is 0.40.1 and its server 0.14.2: the server is too old"),
    ],
)
def test_versions_that_do_not(client: str, server: str, flags: bool, what: str) -> None:
    assert judged(client, server, flags).startswith(what)


@pytest.mark.parametrize(("client", "server"), [("0.40.0", "0.40.0"), ("0.40.1", "0.40.0"), ("0.40.1", "0.32.5")])
def test_a_later_release_with_the_flags_again_is_believed(client: str, server: str) -> None:
    assert judged(client, server, flags=True) == ""


def test_an_intel_mac_never_did() -> None:
    assert "Apple silicon only, and this one has an Intel processor" in judged("0.32.5", machine=INTEL)
    assert "Apple silicon only" in explain_not_installed(INTEL).what


def test_elsewhere_than_on_the_three_systems_there_is_none() -> None:
    assert judged("0.32.5", machine=Machine("FreeBSD", "amd64")) == "Ollama does not generate images on FreeBSD"


def test_linux_and_windows_need_the_libraries_and_a_mac_has_them() -> None:
    for machine in (LINUX, Machine("Windows", "AMD64")):
        assert "lacks its MLX libraries" in judged("0.32.5", machine=machine, payload=False)
        assert judged("0.32.5", machine=machine) == ""
    assert judged("0.32.5", payload=False) == ""
    assert judged("0.32.5", machine=None, payload=False) == ""


@pytest.mark.parametrize(
    ("machine", "way"),
    [(MAC, "doit ollama:setup"), (LINUX, "OLLAMA_VERSION=0.32.5"), (None, "have the server run Ollama 0.32.5")],
)
def test_the_way_out_is_the_machines_own_and_never_without_the_other_backend(machine: Machine | None, way: str) -> None:
    assert way in suggest_upgrade(machine)
    assert "backend: comfyui" in suggest_upgrade(machine)
    problem = check_compatibility(Versions("0.32.5", "0.32.6"), True, machine, True)
    assert problem
    assert problem.hint == suggest_upgrade(machine)


def test_a_client_that_cannot_is_mended_here_though_its_server_is_elsewhere() -> None:
    problem = check_compatibility(Versions("0.32.6", "0.32.5"), False, None, True)
    assert problem
    assert problem.hint == "install Ollama 0.32.5 here, or use another backend: backend: comfyui"


def test_where_none_is_installed_or_runs_the_first_step_is_told() -> None:
    assert explain_not_installed(LINUX).what == "Ollama is not installed: there is no ollama on PATH"
    assert "'ollama serve'" in explain_not_running("h:1", MAC).hint
    assert explain_not_running("h:1", None).hint == "start it there, or correct OLLAMA_HOST"


@given(st.text(max_size=12), st.text(max_size=12), st.booleans(), st.booleans())
def test_whatever_they_call_themselves_is_judged(client: str, server: str, flags: bool, payload: bool) -> None:
    for machine in (MAC, LINUX, None):
        assert isinstance(judged(client, server, flags, machine, payload), str)


def test_this_machine_is_named_as_python_names_it() -> None:
    assert this_machine().system == platform.system()


@pytest.fixture
def executable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("OLLAMA_LIBRARY_PATH", raising=False)
    path = tmp_path / "usr/bin/ollama"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


@pytest.mark.parametrize(
    ("library", "there"),
    [
        ("lib/ollama/libmlxc.so", True),
        ("lib/ollama/mlx_cuda_v13/libmlxc.so", True),
        ("bin/lib/ollama/mlx_cuda_v13/mlxc.dll", True),
        ("lib/ollama/libggml-base.so", False),
        ("lib/ollama/cuda_v13/libmlxc.so", False),
    ],
)
def test_the_libraries_are_looked_for_where_ollama_does(executable: Path, library: str, there: bool) -> None:
    path = executable.parents[1] / library
    path.parent.mkdir(parents=True)
    path.touch()
    assert has_mlx_libraries(executable) is there
    link = executable.parents[2] / "ollama"
    link.symlink_to(executable)
    assert has_mlx_libraries(link) is there


def test_of_an_unusual_installation_nothing_is_claimed(executable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_mlx_libraries(executable)
    (executable.parents[1] / "lib/ollama").mkdir(parents=True)
    assert not has_mlx_libraries(executable)
    monkeypatch.setenv("OLLAMA_LIBRARY_PATH", "/opt")
    assert has_mlx_libraries(executable)


ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
PIECES = st.sampled_from(
    ["/", "\\", "./", ".", " ", "\t", "\n", "\r", "\f", "\v", "\u00a0", "a", "C:", "é", "_", "0", "-", ",", "ſ", ".png", ".JPG", ".jpeg", ".webp", ".webP", "ng"]
)  # fmt: skip


def find_problems(prompt: str = "a cat", **changes: Any) -> list[str]:
    return [problem.what for problem in check_requests([request(prompt, **changes)])]


def is_taken_for_a_file(prompt: str) -> bool:
    """The rule of Ollama's command line, in words of its own: where a slash begins, over what, to which end."""
    lower = "".join(character.lower() if character.isascii() else character for character in prompt)
    for start, character in enumerate(prompt):
        if character not in "/\\":
            continue
        for end in range(start + 1, len(prompt)):
            for ending in ENDINGS:
                after = lower[end + len(ending) : end + len(ending) + 1]
                in_a_word = after.isascii() and (after.isalnum() or after == "_") and after != ""
                if end > start + 1 and lower.startswith(ending, end) and not in_a_word:
                    return True
            if prompt[end] in "\t\n\f\r":
                break
    return False


@given(st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=30))
@example("and/or a cat.png")
@example("/.png")
@example("/a.pngs")
@example("/a.pngé")
@example("/a\n.png")
@example("./../x.webp,")
def test_a_prompt_with_what_is_taken_for_a_file_is_refused_and_no_other(prompt: str) -> None:
    refused = any("Ollama takes that for an image file" in what for what in find_problems(prompt))
    assert refused == is_taken_for_a_file(prompt) == bool(IMAGE_FILE.search(prompt))


def test_what_is_taken_for_a_file_is_shown_and_cut_where_it_is_long() -> None:
    assert find_problems("draw and/or a cat.png, or two")[0].startswith("the prompt has '/or a cat.png': ")
    (what,) = find_problems(f"/{'x' * 200}.png")
    assert "…" in what
    assert len(what) < 160


@pytest.mark.parametrize("prompt", ["", " ", "\n\t ", "\u3000"])
def test_a_prompt_of_nothing_but_blanks_is_refused(prompt: str) -> None:
    assert find_problems(prompt) == ["the prompt is empty, and Ollama generates no image from it"]


def test_the_longest_prompt_is_what_a_command_line_takes() -> None:
    longest, one_more = "é" * 65535 + "a", "é" * 65536
    assert find_problems(longest) == []
    assert find_problems(one_more) == ["the prompt has 131,072 bytes, and a command line takes 131,071"]
    assert subprocess.run(["true", longest], check=False).returncode == 0


@pytest.mark.parametrize("size", [16, 512, 1024, 4096])
def test_multiples_of_16_up_to_4096_pass(size: int) -> None:
    assert find_problems(width=size, height=16) == []


@pytest.mark.parametrize(
    ("size", "what"),
    [
        ({"width": 17}, "width 17 is not a multiple of 16, and the model would change it"),
        ({"height": 1000}, "height 1000 is not a multiple of 16, and the model would change it"),
        ({"width": 4112}, "width 4112 is more than Ollama takes"),
        ({"height": 4097}, "height 4097 is more than Ollama takes"),
    ],
)
def test_other_sizes_are_refused(size: dict[str, Any], what: str) -> None:
    assert find_problems(**size) == [what]


def test_both_sides_are_told_with_sizes_that_fit() -> None:
    first, second = check_requests([request(width=1000, height=4090)])
    assert (first.where, first.hint, second.hint) == ("yrr", "use 992 or 1008", "use 4080 or 4096")


@pytest.mark.parametrize("model", ["x/flux2-klein", "x/flux2-klein:9b"])
def test_flux_has_a_bound_of_its_own(model: str) -> None:
    assert find_problems(model=model, width=2048, height=2048) == []
    assert find_problems(model=model, width=2064, height=2048) == [
        f"2064×2048 is more than the 2048×2048 pixels of {model}, which would shrink it"
    ]
    assert find_problems(width=2064, height=2048) == []


@pytest.mark.parametrize("seed", [None, 1, 2**53])
def test_seeds_that_ollama_tells_apart_pass(seed: int | None) -> None:
    assert find_problems(seed=seed) == []


@pytest.mark.parametrize(
    ("seed", "why"),
    [(0, "a random one"), (-1, "a random one"), (2**53 + 1, "more than Ollama can tell apart")],
)
def test_other_seeds_are_refused(seed: int, why: str) -> None:
    (what,) = find_problems(seed=seed)
    assert why in what


def test_all_that_is_wrong_is_told_of_each_request_by_name() -> None:
    problems = check_requests([request(name="a"), request("./x.png", name="b", seed=0), request(name="c", width=8)])
    assert [problem.where for problem in problems] == ["b", "b", "c"]
    assert all(problem.hint for problem in problems)
