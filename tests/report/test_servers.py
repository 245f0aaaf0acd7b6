"""What `doit doctor --find` says of the servers that it found, and where their settings go. The ports are of fakes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from imagegen.backends import find_servers
from imagegen.backends.find_servers import USUAL_PORTS, FoundServer
from imagegen.config.pyproject import parse_toml
from imagegen.config.settings import Settings
from imagegen.project import JobPlan, Project
from imagegen.report.doctor import Case
from imagegen.report.servers import check_servers, format_settings
from tests.backends.a1111.fake_a1111 import FakeA1111
from tests.backends.comfyui.fake_program import free_port
from tests.backends.image_servers import ANSWERS, serve
from tests.backends.openai.fake_openai import FakeOpenAI
from tests.project_folder import ProjectFolder

COMFYUI, SD, OLLAMA, SWARMUI = 8188, 1234, 11434, 7801


def row_of(port: int, settings: Settings, root: Path, *plans: JobPlan) -> FoundServer:
    (row,) = check_servers(Case(Project(root, settings, {}), plans, [], []))
    assert isinstance(row, FoundServer)
    assert row.what == f"port {port}"
    return row


@pytest.fixture
def port(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The port of the only server: the program, and which usual port it stands for, are the parameter."""
    program, usual = getattr(request, "param", ("ComfyUI", COMFYUI))
    with serve(ANSWERS[program]) as (number, _):
        monkeypatch.setattr(find_servers, "USUAL_PORTS", {number: USUAL_PORTS[usual]})
        yield number


def test_what_is_set_already_is_not_to_be_written(port: int, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{port}"
    row = row_of(port, Settings(), tmp_path)
    assert (row.found, dict(row.missing)) == (
        "ComfyUI 0.33.0",
        {"backend": "comfyui", "comfyui.server.url": url},
    )
    row = row_of(port, Settings(comfyui_server_urls=("http://gpu2:8188", f"http://localhost:{port}")), tmp_path)
    assert (row.found, dict(row.missing)) == ("ComfyUI 0.33.0", {"backend": "comfyui"})
    row = row_of(port, Settings(backend="comfyui", comfyui_server_urls=(url,)), tmp_path)
    assert (row.found, row.missing) == ("ComfyUI 0.33.0; already set", {})
    assert row.settings.keys() == {"backend", "comfyui.server.url"}


def test_a_backend_that_a_job_names_is_set(port: int, tmp_path: Path) -> None:
    settings = Settings(comfyui_server_urls=(f"http://127.0.0.1:{port}",))
    row = row_of(port, settings, tmp_path, JobPlan("icons", "jobs/icons.yaml", "icons", backend="comfyui"))
    assert row.found == "ComfyUI 0.33.0; already set"


def test_a_server_with_the_same_port_elsewhere_or_another_path_is_another(port: int, tmp_path: Path) -> None:
    for url in (f"http://gpu2:{port}", f"http://127.0.0.1:{port}/ComfyBackendDirect"):
        row = row_of(port, Settings(backend="comfyui", comfyui_server_urls=(url,)), tmp_path)
        assert dict(row.missing) == {"comfyui.server.url": f"http://127.0.0.1:{port}"}


@pytest.mark.parametrize("port", [("Ollama", OLLAMA)], indirect=True)
def test_a_host_without_a_scheme_is_compared_too(port: int, tmp_path: Path) -> None:
    row = row_of(port, Settings(backend="ollama", ollama_host=f"127.0.0.1:{port}"), tmp_path)
    assert row.found == "Ollama 0.32.5; already set"


def test_where_nothing_answers_one_row_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(find_servers, "USUAL_PORTS", {free_port(): USUAL_PORTS[COMFYUI]})
    (row,) = check_servers(Case(Project(tmp_path, Settings(), {}), [], [], []))
    assert (row.ok, row.hint) == (True, "")
    assert row.found.startswith("nothing answers at the usual ports of this machine")
    assert "doit sd:setup" in row.found
    assert "a server at another port is not looked for" in row.found


WRITTEN = {"backend": "openai", "openai.server.url": "http://127.0.0.1:8080/v1", "openai.dialect": "localai"}


TABLE, OPENAI, SERVER = "[tool.imagegen]", "[tool.imagegen.openai]", "[tool.imagegen.openai.server]"


@pytest.mark.parametrize(
    ("before", "groups"),
    [
        (None, {TABLE: ["backend", "openai.server.url", "openai.dialect"]}),
        ("[project]\n", {TABLE: ["backend", "openai.server.url", "openai.dialect"]}),
        ("[tool.imagegen]\nwait_s = 3\n", {TABLE: ["backend", "openai.server.url", "openai.dialect"]}),
        ('[tool.imagegen.openai]\nmodel = "x"\n', {TABLE: ["backend"], OPENAI: ["server.url", "dialect"]}),
        ("[tool.imagegen.openai.server]\n", {TABLE: ["backend", "openai.dialect"], SERVER: ["url"]}),
        (
            '[tool.imagegen.openai.prices]\n"x" = 1\n',
            {TABLE: ["backend", "openai.server.url", "openai.dialect"]},
        ),
    ],
    ids=["no file", "no table", "its table", "the backend's table", "the server's table", "another table"],
)
def test_the_lines_fit_into_the_file_that_is_there(before: str | None, groups: dict[str, list[str]]) -> None:
    found = format_settings(WRITTEN, before)
    assert {header: [key for key, _ in lines] for header, lines in read(found, before or "").items()} == groups
    assert ("there is no pyproject.toml" in found[0]) == (before is None)
    text = write(found, before or "")
    assert flat(parse_toml(text)["tool"]["imagegen"]).items() >= WRITTEN.items()


@pytest.mark.parametrize(
    "before",
    [
        '[tool.imagegen]\nopenai.server.url = "http://gpu2/v1"\nbackend = "sd"\n',
        '[tool.imagegen]\nbackend = "sd"\n[tool.imagegen.openai]\nserver.url = "http://gpu2/v1"\n',
        '[tool.imagegen.openai.server]\nurl = "http://gpu2/v1"\n[tool.imagegen]\nbackend = "sd"\n',
    ],
)
def test_what_is_there_with_another_value_is_to_be_changed(before: str) -> None:
    found = format_settings(WRITTEN, before)
    changed = {line.strip().partition(" =")[0] for line in _list_changed(found)}
    assert {key.rpartition(".")[2] for key in changed} == {"url", "backend"}
    kept = [line for line in before.splitlines() if not line.startswith(tuple(changed))]
    text = write(found, "\n".join([*kept, ""]))
    assert flat(parse_toml(text)["tool"]["imagegen"]) == WRITTEN


def _list_changed(found: list[str]) -> list[str]:
    """Return the lines of settings that are to be changed."""
    lines, is_change = [], False
    for line in found:
        is_change = line.startswith("change") if line.endswith(":") else is_change
        lines += [line] if is_change and " = " in line else []
    return lines


@pytest.mark.parametrize("before", ["[tool.imagegen", "tool = 3\n", "[tool]\nimagegen = 3\n"])
def test_a_file_that_is_not_valid_is_no_hindrance(before: str) -> None:
    assert any("openai.server.url" in line for line in format_settings(WRITTEN, before))


def read(found: list[str], before: str) -> dict[str, list[tuple[str, str]]]:
    """Return the key and the line of each setting, by the header that it goes below."""
    groups: dict[str, list[tuple[str, str]]] = {}
    header = ""
    for line in map(str.strip, found):
        if line.endswith(":"):
            header = line.split("below ")[1].split()[0] if "below " in line else ""
            assert not header or header in before
        elif line.startswith("["):
            header = line
            assert f"{header}\n" not in before
        else:
            groups.setdefault(header, []).append((line.partition(" =")[0], line))
    return groups


def write(found: list[str], before: str) -> str:
    """Write the lines where they say that they go, as a person does: new headers at the end."""
    text = before
    for header, lines in read(found, before).items():
        text = text if f"{header}\n" in text else f"{text}{header}\n"
        text = text.replace(f"{header}\n", "\n".join((header, *(line for _, line in lines), "")), 1)
    return text


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


DODO = """\
from imagegen.backends import find_servers

usual = find_servers.USUAL_PORTS
find_servers.USUAL_PORTS = {port: usual[number] for port, number in %s}

from imagegen.tasks import *
"""


def test_doctor_finds_servers_only_when_asked(tmp_path: Path) -> None:
    project = ProjectFolder(tmp_path)
    project.write("pyproject.toml", "[tool.imagegen.sd]\noffload = false\n")
    with serve(ANSWERS["SwarmUI"]) as (swarm, seen), FakeA1111("sd-server") as sd, FakeOpenAI("LM Studio") as studio:
        sd_port, studio_port = (int(url.rpartition(":")[2]) for url in (sd.url, studio.origin))
        project.write("dodo.py", DODO % [(swarm, SWARMUI), (sd_port, SD), (studio_port, SD)])
        assert "port" not in project.doit("doctor").out
        assert [*seen, *sd.asked, *studio.asked] == []
        run = project.doit("doctor", "--find")
        rows = project.doit("doctor", "--find", "--json").result["checks"]
    assert (run.code, run.closing) == (0, "everything is in place")
    lines = run.out.splitlines()
    at = next(index for index, line in enumerate(lines) if "SwarmUI" in line)
    expected = f"""\
✓ port {swarm} SwarmUI, with ComfyUI 0.33.0
→ write into pyproject.toml:
[tool.imagegen]
backend = "comfyui"
comfyui.server.url = "http://127.0.0.1:{swarm}/ComfyBackendDirect"
✓ port {sd_port} sd-server, with sd15.safetensors
→ write into pyproject.toml:
[tool.imagegen]
backend = "sd"
below [tool.imagegen.sd] in pyproject.toml:
server.url = "{sd.url}"
✓ port {studio_port} LM Studio: it generates no images
"""
    assert [" ".join(line.split()) for line in lines[at:-2]] == expected.splitlines()
    found = [row for row in rows if row["what"].startswith("port ")]
    assert [row["state"] for row in found] == ["ok"] * 3
    servers = [row["server"] for row in found]
    assert [one["missing"] for one in servers] == [one["settings"] for one in servers]
    assert servers[0]["settings"]["comfyui.server.url"].endswith("/ComfyBackendDirect")
    assert servers[2]["settings"] == {}
    assert all(row["server"] is None for row in rows if row not in found)


def test_the_usual_ports_of_this_machine_can_be_asked_whatever_runs_there(tmp_path: Path) -> None:
    rows = ProjectFolder(tmp_path).doit("doctor", "--find", "--json").result["checks"]
    found = [row for row in rows if row["what"].startswith("port ") or row["what"] == "servers"]
    assert found
    assert all(row["state"] == "ok" and row["found"] for row in found)
