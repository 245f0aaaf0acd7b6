"""How `doit review` begins: where it listens, and what it refuses."""

from __future__ import annotations

import errno
import json
import socket
import sys
from pathlib import Path

import pytest

from imagegen.errors import ImagegenError
from imagegen.review.address import listen
from tests.project_folder import ProjectFolder
from tests.review.served import Served, ask, wait_until

pytestmark = pytest.mark.xdist_group("review-start")

IP = "198.51.100.7"


def refused(host: str, port: int = 0) -> str:
    with pytest.raises(ImagegenError) as caught:
        listen(host, port)
    return str(caught.value.problems[0])


def test_what_it_cannot_listen_on_is_refused_with_what_to_do(folder: ProjectFolder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = folder.doit("review", "--no-open", f"--port={port}")
        assert run.code == 1
        assert f"port {port} is in use" in run.out
        assert "leave --port out" in run.out
    assert folder.doit("-a", "review", "--no-open").code == 2
    assert "--port=70000 is not a port" in refused("127.0.0.1", 70000)
    assert "--port=-1 is not a port" in refused("127.0.0.1", -1)
    assert f"{IP} is not an address of this machine" in refused(IP)
    assert "is not an address" in refused("nowhere.invalid")
    assert "is not an address" in refused("x" * 300)
    run = folder.doit("review", "--no-open", "--port=x")
    assert run.code != 0
    assert "expected a whole number" in run.err


def test_a_port_that_is_not_open_to_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "create_server", refuse)  # the tests may run as root, who may listen anywhere
    assert "port 80 is not open to you" in refused("127.0.0.1", 80)


def test_a_package_that_is_not_installed_is_named(folder: ProjectFolder) -> None:
    folder.write("blocked/uvicorn.py", "raise ModuleNotFoundError('No module named uvicorn', name='uvicorn')\n")
    run = folder.doit("review", "--no-open", PYTHONPATH=str(folder.root / "blocked"))
    assert run.code == 3
    assert "the page is served with uvicorn, which is not installed" in run.out
    assert f"{sys.executable} -m pip install" in run.out


def test_settings_that_are_not_valid_are_refused_as_by_any_command(folder: ProjectFolder) -> None:
    run = folder.doit("review", "--no-open", "steps_ahead=3")
    assert run.code != 0
    assert "steps_ahead" in run.err
    assert "http://" not in run.out


def test_without_jobs_the_page_opens(tmp_path: Path) -> None:
    served = Served(ProjectFolder(tmp_path / "project"))
    try:
        assert served.ask("GET", "").status == 200
    finally:
        served.end()


@pytest.mark.parametrize(
    ("host", "good", "bad"),
    [
        ("0.0.0.0", ["127.0.0.1", "localhost", "{name}"], [IP, "example.org", "0.0.0.0"]),  # noqa: S104 - asked for
        ("::1", ["[::1]", "localhost"], ["127.0.0.2", IP]),
    ],
)
def test_where_it_listens_decides_which_names_it_has(
    folder: ProjectFolder, host: str, good: list[str], bad: list[str]
) -> None:
    if ":" in host and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    served = Served(folder, f"--host={host}")
    try:
        port = served.host.rpartition(":")[2]
        for name in good:
            named = name.format(name=socket.gethostname().lower())
            assert served.ask("GET", "", headers={"Host": f"{named}:{port}"}).status == 200, named
        for name in bad:
            assert served.ask("GET", "", headers={"Host": f"{name}:{port}"}).status == 403, name
        is_open = "anybody with the address can change the project" in served.output
        assert is_open == (host == "0.0.0.0")  # noqa: S104
    finally:
        served.end()


def test_it_opens_the_browser_where_there_is_a_screen(folder: ProjectFolder, tmp_path: Path) -> None:
    browser = folder.write("browser", '#!/bin/sh\necho "$1" > opened\n')
    browser.chmod(0o755)
    served = Served(folder, opens=True, DISPLAY=":9", BROWSER=f"{browser} %s")
    try:
        wait_until(lambda: (folder.root / "opened").exists() and (folder.root / "opened").read_text().endswith("\n"))
        assert (folder.root / "opened").read_text().strip() == served.url
    finally:
        served.end()
    served = Served(folder, opens=True, log=tmp_path / "log", DISPLAY="", WAYLAND_DISPLAY="")
    try:
        served.wait_until_it_says("not opened: there is no screen here")
    finally:
        served.end()


def test_two_projects_at_once_know_nothing_of_each_other(review: Served, tmp_path: Path) -> None:
    other = Served(ProjectFolder(tmp_path / "project"))
    try:
        assert ask(f"http://{other.host}/{review.secret}/", "GET", "").status == 404
        assert ask(f"http://{review.host}/{other.secret}/", "GET", "").status == 404
        data = review.ask("GET", "").body.partition(b'id="data">')[2].partition(b"</script>")[0]
        assert json.loads(data)
    finally:
        other.end()
