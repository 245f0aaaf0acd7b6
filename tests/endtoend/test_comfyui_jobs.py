"""Jobs for ComfyUI while no server runs: what they come to, what makes their images stale, and what is refused."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import pytest

from imagegen.backends.registry import registry
from imagegen.config.settings import read_settings
from imagegen.plan.record import OutputLine
from imagegen.project import Project
from tests.backends.comfyui.workflows import Nodes, changed, image_to_image, sd15
from tests.marks import long
from tests.project_folder import ProjectFolder, Run

NOWHERE = "http://127.0.0.1:9"
"""The port that discards: nobody serves there."""
WORKFLOW = "jobs/workflows/x.json"
ITEMS = [{"name": "Mallsing", "prompt": "a tall figure"}, {"name": "Yrr", "prompt": "a small figure"}]
FACES = [
    {**item, "comfyui": {"images": {"10.image": f"refs/{name}.png"}}}
    for item, name in zip(ITEMS, ("mallsing", "yrr"), strict=True)
]


@pytest.fixture
def comfyui(project: ProjectFolder) -> ProjectFolder:
    """A project whose server is away, and is not to be started."""
    project.environment = {"COMFYUI_URL": NOWHERE}
    return project


def write(project: ProjectFolder, nodes: Nodes) -> None:
    project.write(WORKFLOW, json.dumps(nodes, indent=2))


def job(project: ProjectFolder, section: dict[str, Any], items: Any = ITEMS, **generate: Any) -> None:
    """A job of ComfyUI; without `generate` where none of it is given."""
    section = {"server": {"start": "never"}, **section}
    made = {"backend": "comfyui", "comfyui": section, "items": items, **({"generate": generate} if generate else {})}
    project.write("jobs/portraits.json", json.dumps(made, indent=2))


def record_as_generated(project: ProjectFolder) -> None:
    """Leave everything as after a run that drew it."""
    settings = read_settings(project.root, {}, project.environment)
    planned = Project(project.root, settings, registry())
    (plan,) = planned.plans()
    assert not plan.problems, plan.problems
    for output in plan.outputs:
        data = output.fingerprint.encode()
        path = project.root / output.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        planned.lock(output.job).append(
            OutputLine(
                path=output.path,
                output=output.slug,
                fingerprint=output.fingerprint,
                encoding=output.encoding,
                request=output.fields,
                sha256=sha256,
                size=len(data),
                model_digest=None,
                backend_version="1",
                seconds=0.5,
                time="2026-01-01T00:00:00.000Z",
            )
        )
    assert stale(project) == []


def stale(project: ProjectFolder) -> list[str]:
    run = project.doit("list", "--all", "--status")
    assert run.code == 0, run.out + run.err
    return re.findall(r"^R portraits:(\S+)", run.out, re.MULTILINE)


def test_another_seed_titles_and_file_names_in_the_workflow_make_nothing_stale(comfyui: ProjectFolder) -> None:
    write(comfyui, sd15())
    job(comfyui, {"workflow": WORKFLOW})
    record_as_generated(comfyui)
    again = changed(sd15(), n3={"seed": 2**64 - 1}, n6={"text": "another"}, n9={"filename_prefix": "mine"})
    write(comfyui, {key: {**body, "_meta": {"title": "x"}} for key, body in reversed(again.items())})
    assert stale(comfyui) == []
    assert "nothing to do" in comfyui.doit().closing


def test_another_workflow_makes_all_images_stale_and_doit_says_why(comfyui: ProjectFolder) -> None:
    write(comfyui, sd15())
    job(comfyui, {"workflow": WORKFLOW})
    record_as_generated(comfyui)
    write(comfyui, changed(sd15(), n3={"denoise": 0.9}))
    assert stale(comfyui) == ["mallsing", "yrr"]
    assert re.search(r"'workflow \w+… → ", comfyui.doit("info", "portraits:yrr").out)


def test_moving_the_workflow_or_the_server_makes_nothing_stale(comfyui: ProjectFolder) -> None:
    write(comfyui, sd15())
    job(comfyui, {"workflow": WORKFLOW})
    record_as_generated(comfyui)
    comfyui.write("jobs/workflows/y.json", (comfyui.root / WORKFLOW).read_text())
    job(comfyui, {"workflow": "jobs/workflows/y.json", "server": {"url": "http://127.0.0.1:10"}})
    assert stale(comfyui) == []


def test_a_changed_reference_image_makes_just_its_images_stale(comfyui: ProjectFolder) -> None:
    write(comfyui, image_to_image())
    for name in ("mallsing", "yrr"):
        comfyui.write(f"refs/{name}.png", name)
    job(comfyui, {"workflow": WORKFLOW}, FACES)
    record_as_generated(comfyui)
    assert "nothing to do" in comfyui.doit().closing  # by a snapshot from now on
    comfyui.write("refs/yrr.png", "another face")
    assert stale(comfyui) == ["yrr"]
    assert re.search(r"'images\.10\.image \w+… → ", comfyui.doit("info", "portraits:yrr").out)


def test_a_reference_image_is_known_by_what_is_in_it(comfyui: ProjectFolder) -> None:
    write(comfyui, image_to_image())
    for name in ("mallsing", "yrr", "other"):
        comfyui.write(f"refs/{name}.png", name.replace("other", "yrr"))
    job(comfyui, {"workflow": WORKFLOW}, FACES)
    record_as_generated(comfyui)
    text = (comfyui.root / "jobs/portraits.json").read_text().replace("refs/yrr.png", "refs/other.png")
    comfyui.write("jobs/portraits.json", text)
    assert stale(comfyui) == []


def test_what_the_job_gives_and_sets_counts_field_by_field(comfyui: ProjectFolder) -> None:
    write(comfyui, sd15())
    job(comfyui, {"workflow": WORKFLOW, "set": {"3.denoise": 0.8}}, steps=20)
    record_as_generated(comfyui)
    job(comfyui, {"workflow": WORKFLOW, "set": {"3.denoise": 0.9}}, steps=30)
    out = comfyui.doit("info", "portraits:yrr").out
    assert "set.3.denoise 0.8 → 0.9" in out
    assert "steps 20 → 30" in out
    assert "workflow" not in re.findall(r"^.*→.*$", out, re.MULTILINE)[0]


def test_a_changed_prompt_is_the_only_reason_beside_loras(comfyui: ProjectFolder) -> None:
    section = {"checkpoint": "a.safetensors", "loras": {"l.safetensors": {"model": 0.5, "clip": 1}}}
    job(comfyui, section)
    record_as_generated(comfyui)
    job(comfyui, section, [ITEMS[0], {**ITEMS[1], "prompt": "another"}])
    run = comfyui.doit()
    assert run.tasks("failed") == ["portraits:yrr"]
    out = comfyui.doit("info", "portraits:yrr").out
    assert "prompt changed" in out
    assert "loras" not in re.findall(r"^.*prompt changed.*$", out, re.MULTILINE)[0]


def test_the_checkpoint_of_the_command_line_goes_before_the_jobs(comfyui: ProjectFolder) -> None:
    job(comfyui, {"checkpoint": "a.safetensors"})
    record_as_generated(comfyui)
    assert (
        "model a.safetensors → b.safetensors" in comfyui.doit("info", "portraits:yrr", "checkpoint=b.safetensors").out
    )


def test_info_shows_no_workflow_if_the_job_has_none(comfyui: ProjectFolder) -> None:
    job(comfyui, {"checkpoint": "a.safetensors"})
    assert "'workflow'" not in comfyui.doit("info", "portraits:yrr").out


def failed_preflight(project: ProjectFolder) -> Run:
    run = project.doit()
    assert run.code != 0
    assert run.tasks("failed") == ["portraits:mallsing", "portraits:yrr"]
    assert run.closing.startswith("2 failed")
    return run


def test_a_field_that_the_workflow_has_no_place_for_is_refused_by_name(comfyui: ProjectFolder) -> None:
    write(comfyui, image_to_image())
    job(comfyui, {"workflow": WORKFLOW}, width=512)
    out = failed_preflight(comfyui).out
    assert "generate.width: comfyui.workflow has no input for the width: the sampler's links lead to none" in out
    assert 'write "%width%" into the file' in out


def test_a_field_of_one_item_is_refused_with_that_item(comfyui: ProjectFolder) -> None:
    write(comfyui, image_to_image())
    job(comfyui, {"workflow": WORKFLOW}, [ITEMS[0], {**ITEMS[1], "height": 512}])
    out = failed_preflight(comfyui).out
    assert "portraits:yrr: generate.height: " in out
    assert out.count("generate.height") == 1


@pytest.mark.parametrize("width", [510, 1023])
def test_a_size_that_comfyui_would_cut_is_refused(comfyui: ProjectFolder, width: int) -> None:
    job(comfyui, {"checkpoint": "a.safetensors"}, width=width)
    out = failed_preflight(comfyui).out
    assert f"generate.width: {width} is not a multiple of 8: ComfyUI would make the image smaller" in out
    assert f"make it {width // 8 * 8} or {width // 8 * 8 + 8}" in out


def test_a_server_that_is_away_is_told_once_with_its_address(comfyui: ProjectFolder) -> None:
    write(comfyui, sd15())
    job(comfyui, {"workflow": WORKFLOW})
    out = failed_preflight(comfyui).out
    assert out.count(f"no ComfyUI answers at {NOWHERE}") == 1
    assert "portraits:mallsing, portraits:yrr: " in out


@pytest.mark.parametrize(
    ("section", "where", "message"),
    [
        ({"workflow": "jobs/workflows/no.json"}, "workflow", "workflow: jobs/workflows/no.json: there is no such file"),
        long({"workflow": "../x.json"}, "workflow", "workflow: ../x.json: '../x.json' is outside the project"),
        ({"workflow": "refs/editor.json"}, "workflow", "workflow: refs/editor.json: is a workflow for ComfyUI's editor"),
        long({"workflow": "refs/bad.json"}, "workflow", "workflow: refs/bad.json:2:9: "),
        long({"workflow": WORKFLOW, "bind": {"prompt": "6"}}, "prompt", "bind.prompt: '6' is not a valid input: node ID, dot, input's name, as 6.text"),
        long({"workflow": WORKFLOW, "bind": {"cfg": ["3.cfg", "x"]}}, "x", "bind.cfg[1]: 'x' is not a valid input: "),
        long({"workflow": WORKFLOW, "bind": {"promt": "6.text"}}, "promt", "bind.promt: unknown key; did you mean 'prompt'?"),
        long({"workflow": WORKFLOW, "bind": {"cfg": "3.cgf"}}, "bind", "bind.cfg: '3.cgf': node 3 (KSampler) has no input 'cgf'"),
        ({"workflow": WORKFLOW, "set": {"33.cfg": 1}}, "set", "set.33.cfg: '33.cfg': the workflow has no node '33'"),
        long({"workflow": WORKFLOW, "set": {"3.denoise": [1]}}, "3.denoise", "set.3.denoise: expected text or a number or true or false, found a list"),
        long({"workflow": WORKFLOW, "images": {"10.image": "refs/no.png"}}, "images", "images.10.image: refs/no.png: there is no such file"),
        long({"workflow": WORKFLOW, "images": {"10.image": "../a.png"}}, "images", "images.10.image: ../a.png: '../a.png' is outside the project"),
        ({"workflow": WORKFLOW, "vae": "v.pt"}, "vae", "vae: is for the built-in workflow, but the job has its own"),
        long({"set": {"3.cfg": 1}}, "set", "set: needs a workflow, but the job names none"),
        long({"loras": {"a": 101}}, "a", "loras.a: 101 is too large: at most 100"),
        ({"server": {"url": ["http://a", "localhost:8188"]}}, "localhost:8188", "server.url[1]: 'localhost:8188' is not a valid address such as http://127.0.0.1:8188"),
        long({"server": {"url": []}}, "url", "server.url: is empty"),
        long({"server": {"url": 8188}}, "url", "server.url: expected text or a list, found the number 8188"),
        long({"server": {"url": "localhost:8188"}}, "url", "server.url: 'localhost:8188' is not a valid address such as http://127.0.0.1:8188"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_section_is_told_at_its_key(
    comfyui: ProjectFolder, section: dict[str, Any], where: str, message: str
) -> None:
    write(comfyui, image_to_image())
    comfyui.write("refs/editor.json", '{"nodes": [], "links": []}')
    comfyui.write("refs/bad.json", '{\n  "3": {,}}')
    job(comfyui, section)
    out = comfyui.doit().out
    text = (comfyui.root / "jobs/portraits.json").read_text()
    start = text.index(f'"{where}"')
    line, column = text[:start].count("\n") + 1, start - text.rfind("\n", 0, start)
    assert f"jobs/portraits.json:{line}:{column}: comfyui.{message}" in out
    assert "1 broken job" in out


def test_a_problem_of_the_job_is_told_once_though_its_items_have_images_of_their_own(comfyui: ProjectFolder) -> None:
    job(comfyui, {"workflow": "jobs/workflows/no.json"}, FACES)
    out = comfyui.doit().out
    assert out.count("there is no such file") == 1
    write(comfyui, image_to_image())
    job(comfyui, {"workflow": WORKFLOW}, FACES)
    out = comfyui.doit().out
    assert re.search(
        r"jobs/portraits\.json:\d+:\d+: comfyui\.images\.10\.image: refs/yrr\.png: there is no such file", out
    )
    assert out.count("there is no such file") == 2
