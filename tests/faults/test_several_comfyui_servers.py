"""Several ComfyUI servers: who draws what, and what their user is told."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.backends.comfyui.fake_server import FakeComfyUI, Fault
from tests.faults.comfyui_project import comfyui_project, items
from tests.project_folder import ProjectFolder

CHECKPOINT = "fake.safetensors"
FOX = [f"fox{number}" for number in range(12)]
BIRD = [f"bird{number}" for number in range(6)]


class Servers:
    """Each is one more of the project's, with checkpoints and speed of its own."""

    def __init__(self, root: Path, stack: contextlib.ExitStack) -> None:
        self._root, self._stack = root, stack
        self.all: list[FakeComfyUI] = []

    def serve(self, **given: Any) -> FakeComfyUI:
        self.all.append(self._stack.enter_context(FakeComfyUI(**{"seconds": 0.1, **given})))
        return self.all[-1]

    def project(self, names: Sequence[str], **changes: Any) -> ProjectFolder:
        return comfyui_project(self._root / "project", [server.url for server in self.all], names, **changes)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    with contextlib.ExitStack() as stack:
        yield Servers(tmp_path, stack)


def count_executions(*servers: FakeComfyUI) -> list[int]:
    return [len(server.executions) for server in servers]


def used_checkpoints(server: FakeComfyUI) -> list[str]:
    """The checkpoint of each prompt that it was given, by its first letter."""
    bodies = [body for method, path, body in server.log if (method, path) == ("POST", "/prompt")]
    return [body["prompt"]["checkpoint"]["inputs"]["ckpt_name"][0] for body in bodies]


def build(project: ProjectFolder) -> int:
    """Build all, and return how many were generated."""
    states = project.build()
    assert set(states.values()) == {"generated"}, project.report
    return len(states)


def disabled(project: ProjectFolder) -> list[str]:
    """Return the servers that are reported to get no more images."""
    return re.findall(r"(\S+) gets no more images, they go to the other servers: ", project.report)


def test_a_slow_server_among_fast_ones_does_not_hold_up_the_end(servers: Servers) -> None:
    slow, fast = servers.serve(seconds=3), [servers.serve(), servers.serve()]
    assert build(servers.project(FOX)) == 12
    assert count_executions(slow) == [
        1
    ]  # the fast ones have drawn the others by the time that it would be done with two
    assert sum(count_executions(*fast)) == 11


def test_a_server_without_the_checkpoint_gets_none_of_its_images(servers: Servers) -> None:
    both = servers.serve(checkpoints=["a.safetensors", "b.safetensors"])
    only_b = servers.serve(checkpoints=["b.safetensors"])
    project = servers.project(FOX[:6], comfyui={"checkpoint": "a.safetensors"})
    project.job("birds", items=items(*BIRD), comfyui={"checkpoint": "b.safetensors"})
    assert build(project) == 12
    assert set(used_checkpoints(only_b)) == {"b"}
    assert used_checkpoints(both).count("a") == 6
    assert disabled(project) == [], "it takes part, and draws the others"


def test_a_server_without_a_lora_or_a_node_class_gets_none_of_its_images(servers: Servers) -> None:
    plain, able = servers.serve(), servers.serve(loras=["ink.safetensors"])
    project = servers.project(FOX[:4], comfyui={"checkpoint": CHECKPOINT, "loras": {"ink.safetensors": 1.0}})
    project.job("birds", items=items(*BIRD))
    assert build(project) == 10
    assert all("ink" not in str(body) for _, _, body in plain.log)
    assert sum(count_executions(plain, able)) == 10


def test_what_no_server_has_is_told_with_each_server_before_anything_is_queued(servers: Servers) -> None:
    one, two = servers.serve(), servers.serve(checkpoints=["b.safetensors"])
    project = servers.project(FOX[:2], comfyui={"checkpoint": "nope.safetensors"})
    project.build()
    missing = "comfyui.checkpoint: 'nope.safetensors' is not there, at"
    assert project.report.splitlines() == [
        f"portraits:fox0, portraits:fox1: {missing} {one.url}",
        f"    there is only {CHECKPOINT}",
        f"portraits:fox0, portraits:fox1: {missing} {two.url}",
        "    there is only b.safetensors",
    ]
    assert count_executions(one, two) == [0, 0]


def test_what_all_of_many_servers_lack_is_told_once(servers: Servers) -> None:
    found = [servers.serve() for _ in range(5)]
    project = servers.project(FOX[:2], comfyui={"checkpoint": "nope.safetensors"})
    project.build()
    first = ", ".join(server.url for server in found[:3])
    assert project.report.count("is not there") == 1
    assert f"'nope.safetensors' is not there, at {first} and 2 more\n" in project.report


def test_images_of_one_checkpoint_stay_at_the_servers_that_loaded_it(servers: Servers) -> None:
    found = [servers.serve(checkpoints=["a.safetensors", "b.safetensors"], loading=1.0) for _ in range(2)]
    project = servers.project(BIRD[:3], comfyui={"checkpoint": "a.safetensors"})
    for number in range(5):
        foxes = items(*(f"fox{number}{letter}" for letter in "abc"))
        project.job(f"job{number}", items=foxes, comfyui={"checkpoint": f"{'ba'[number % 2]}.safetensors"})
    assert build(project) == 18
    changes = [sum(one != other for one, other in pairwise(used_checkpoints(server))) for server in found]
    assert sum(changes) <= 3, [used_checkpoints(server) for server in found]  # in their order, it would be five at each


def test_a_server_that_is_not_there_takes_no_part_which_is_said_once(servers: Servers) -> None:
    gone, one = servers.serve(), servers.serve()
    gone.stop()
    project = servers.project(FOX[:4])
    project.job("birds", items=items(*BIRD))
    assert build(project) == 10
    assert disabled(project) == [gone.url]
    assert f"no ComfyUI answers at {gone.url} (" in project.report
    assert count_executions(one) == [10]


def test_none_that_is_there_is_told_before_anything_is_begun(servers: Servers) -> None:
    found = [servers.serve(), servers.serve()]
    project = servers.project(FOX)
    for server in found:
        server.stop()
    built = project.build()
    assert set(built.values()) == {"failed"}
    assert [project.report.count(f"no ComfyUI answers at {server.url}") for server in found] == [1, 1]


@pytest.mark.long
def test_a_server_that_keeps_forgetting_its_prompts_is_taken_out(servers: Servers) -> None:
    bad, good = servers.serve(), servers.serve()
    bad.faults.append(Fault("lost", times=None))
    project = servers.project(FOX[:4])
    assert build(project) == 4
    assert disabled(project) == [bad.url]
    assert "wait: the server lost the prompt twice" in project.report
    assert count_executions(good) == [4]


def test_what_fails_at_one_server_is_tried_at_another_and_a_broken_one_taken_out(servers: Servers) -> None:
    broken, good = servers.serve(), servers.serve()
    broken.faults.append(Fault("out of memory", times=None))
    project = servers.project(FOX)
    assert build(project) == 12
    assert disabled(project) == [broken.url]
    assert "2 images failed there that other servers generated" in project.report
    assert count_executions(good) == [12]
    assert len(broken.executions) == 2
    assert project.report.count("another server tries it") == len(broken.executions)


def test_where_prompts_hang_their_images_go_elsewhere_once_their_time_is_over(servers: Servers) -> None:
    hangs, good = servers.serve(), servers.serve()
    hangs.faults.append(Fault("hangs", times=None))
    project = servers.project(FOX, timeout_s=1.5)
    assert build(project) == 12
    assert re.search(r"wait: not done after 1\.5 s, at \S+; another server tries it", project.report)
    assert len(good.executions) == 12


def test_what_fails_is_tried_elsewhere_also_where_the_run_draws_its_seed(servers: Servers) -> None:
    broken, good = servers.serve(), servers.serve(seconds=0.3)
    broken.faults.append(Fault("error"))
    drawn_by_the_run = {"width": 64, "height": 64, "steps": 4, "seed": {"mode": "random"}}
    project = servers.project(["fox"], generate=drawn_by_the_run, variants=3)
    assert build(project) == 3
    assert project.report.count("another server tries it") == 1
    assert len({*broken.executions} & {*good.executions}) == 1


def test_what_fails_at_two_servers_fails_and_says_where(servers: Servers) -> None:
    found = [servers.serve(), servers.serve(), servers.serve()]
    for server in found:
        server.faults.append(Fault("error", "a bird", times=None))
    project = servers.project(["fox", "bird", "stone"])
    built = project.build()
    assert built == {"portraits:fox": "generated", "portraits:bird": "failed", "portraits:stone": "generated"}
    message = r"portraits:bird: wait: ComfyUI failed in node sampler \(KSampler\): .*, at (http[^;\s]+)"
    first, second = re.findall(message, project.report)
    assert first != second
    assert project.build() == {"portraits:bird": "failed"}


def test_an_image_that_cannot_be_used_says_which_server_made_it(servers: Servers) -> None:
    found = [servers.serve(), servers.serve()]
    for server in found:
        server.faults.append(Fault("black", "a bird"))
    project = servers.project(["bird"])
    project.build()
    assert f"of one flat colour, #000000 (made at {found[0].url})" in project.report


def test_the_authorization_goes_to_the_servers_of_the_settings_alone(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYUI_AUTH", "Bearer hush")
    ours = [servers.serve(auth="Bearer hush"), servers.serve(auth="Bearer hush")]
    project = servers.project(FOX[:4])
    other = servers.serve(auth="Bearer hush")
    section = {"checkpoint": CHECKPOINT, "server": {"url": [ours[1].url, other.url]}}
    project.job("birds", items=items(*BIRD), comfyui=section)
    assert build(project) == 10
    assert f"{other.url} asks for authorization (401" in project.report
    assert disabled(project) == [other.url]
    assert count_executions(other) == [0]


def test_the_only_checkpoint_is_that_of_all_the_servers(servers: Servers) -> None:
    one, two = servers.serve(), servers.serve()
    project = servers.project(["fox"], comfyui={})
    two.checkpoints["other.safetensors"] = ""
    message = f"the job names no checkpoint, and there are 2 at the servers {one.url}, {two.url}"
    project.build()
    assert message in project.report
    del two.checkpoints["other.safetensors"]
    assert build(project) == 1
