"""The shared store on real servers: one that speaks S3, and an sshd. Skipped where these are not installed.

`pip install s3fs 'moto[server,s3]' paramiko` and `apt-get install openssh-server` bring them.
"""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec
import pytest
import requests

from tests.backends.comfyui.fake_program import free_port
from tests.endtoend.test_shared_store import NAMES, clone
from tests.project_folder import ProjectFolder

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
HAS_S3 = all(importlib.util.find_spec(name) for name in ("s3fs", "moto"))
HAS_SSH = SSHD is not None and shutil.which("ssh-keygen") and importlib.util.find_spec("paramiko") is not None

pytestmark = pytest.mark.long
needs_s3 = pytest.mark.skipif(not HAS_S3, reason="s3fs and moto are not installed")
needs_ssh = pytest.mark.skipif(not HAS_SSH, reason="sshd and paramiko are not installed")


@contextmanager
def server(port: int, *command: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections, and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture
def s3(project: ProjectFolder) -> Iterator[ProjectFolder]:
    """A project with a bucket."""
    port = free_port()
    project.environment |= {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "MARKEDsecretMARKED",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "IMAGEGEN_STORE": "s3://team/game",
    }
    project.job()
    with server(port, sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)):
        assert requests.put(f"http://127.0.0.1:{port}/team", timeout=30).ok
        yield project


@pytest.fixture
def ssh(project: ProjectFolder, tmp_path: Path) -> Iterator[ProjectFolder]:
    """A project with a folder on an sshd that knows our key, and whose key we know."""
    port, home, team = free_port(), tmp_path / "home", tmp_path / "team"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    team.mkdir()
    for key in (tmp_path / "host", home / ".ssh/id_ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    host = (tmp_path / "host.pub").read_text().split()[:2]
    (home / ".ssh/known_hosts").write_text(f"[127.0.0.1]:{port} {' '.join(host)}\n")
    lines = [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {tmp_path / 'host'}",
        f"AuthorizedKeysFile {home / '.ssh/id_ed25519.pub'}",
        "PidFile none",
        "StrictModes no",
        "PasswordAuthentication no",
        "Subsystem sftp internal-sftp",
    ]
    (tmp_path / "sshd_config").write_text("\n".join(lines) + "\n")
    Path("/run/sshd").mkdir(exist_ok=True)  # where a root sshd goes without its privileges
    project.environment |= {"HOME": str(home), "IMAGEGEN_STORE": f"ssh://127.0.0.1:{port}{team}"}
    project.job()
    assert SSHD is not None
    with server(port, SSHD, "-D", "-e", "-f", str(tmp_path / "sshd_config")):
        yield project


@pytest.mark.parametrize("kind", [pytest.param("s3", marks=needs_s3), pytest.param("ssh", marks=needs_ssh)])
def test_what_one_generated_the_other_restores(kind: str, request: pytest.FixtureRequest) -> None:
    project: ProjectFolder = request.getfixturevalue(kind)
    assert project.doit().tasks("generated") == NAMES
    other = clone(project)
    run = other.doit()
    assert run.tasks("restored") == NAMES, run.out + run.err
    assert other.calls() == []
    assert "answers" in project.doit("doctor").out


@needs_s3
def test_a_bucket_that_is_not_there_is_told_and_an_empty_folder_is_none(s3: ProjectFolder) -> None:
    run = s3.doit(IMAGEGEN_STORE="s3://nobody/game")
    assert (run.code, run.out.count("cannot be reached: The specified bucket does not exist")) == (0, 1)
    run = s3.doit("store:push", IMAGEGEN_STORE="s3://team")
    assert "uploaded 3 images of earlier runs to the shared store s3://team\n" in run.out


@needs_s3
def test_an_object_with_nothing_in_it_is_passed_over(s3: ProjectFolder) -> None:
    s3.doit()
    known = s3.environment
    files = fsspec.filesystem(
        "s3",
        key=known["AWS_ACCESS_KEY_ID"],
        secret=known["AWS_SECRET_ACCESS_KEY"],
        endpoint_url=known["AWS_ENDPOINT_URL"],
        skip_instance_cache=True,
    )
    for path in files.find("team/game/blobs"):
        files.pipe_file(path, b"")
    run = clone(s3).doit()
    assert run.tasks("generated") == NAMES, run.out
    assert "were skipped" in run.out
    assert clone(s3, "third").doit().tasks("restored") == NAMES


@needs_s3
def test_the_secret_key_is_told_and_kept_nowhere(s3: ProjectFolder) -> None:
    runs = [s3.doit(), s3.doit("doctor"), s3.doit("doctor", AWS_ENDPOINT_URL=f"http://127.0.0.1:{free_port()}")]
    assert "MARKED" not in "".join(run.out + run.err for run in runs)
    assert not [path for path in s3.root.rglob("*") if path.is_file() and b"MARKED" in path.read_bytes()]


@pytest.mark.parametrize("kind", [pytest.param("s3", marks=needs_s3), pytest.param("ssh", marks=needs_ssh)])
def test_a_server_that_never_answers_costs_a_line_and_ten_seconds(kind: str, request: pytest.FixtureRequest) -> None:
    project: ProjectFolder = request.getfixturevalue(kind)
    with silent() as port:
        silence = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "IMAGEGEN_STORE": "s3://team/game" if kind == "s3" else f"ssh://127.0.0.1:{port}/team",
        }
        start = time.monotonic()
        run = project.doit(**silence)
        assert 9 < time.monotonic() - start < 25
        assert run.tasks("generated") == NAMES
        assert run.out.count("shared store") == 1
        assert "cannot be reached: " in run.out
        start = time.monotonic()
        (line,) = project.doit(**silence).out.splitlines()[:-1]
        assert time.monotonic() - start < 9
        assert line.startswith("3 images still have to be uploaded to the shared store ")
        assert "shared store" not in project.doit(**silence).out


@needs_ssh
def test_a_host_whose_key_is_not_known_is_not_trusted(ssh: ProjectFolder) -> None:
    known = Path(ssh.environment["HOME"]) / ".ssh/known_hosts"
    known.write_text("")
    run = ssh.doit()
    assert run.tasks("generated") == NAMES
    assert "not found in known_hosts" in run.out
