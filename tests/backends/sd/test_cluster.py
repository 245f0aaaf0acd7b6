"""Images of `sd` at the worker of a Dask cluster, which has a server, settings and models of its own."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.backends.sd.fake_sd_server.fixture import FakeSd, until
from tests.backends.sd.project import SdProject
from tests.endtoend.cluster import cluster_of
from tests.images.pictures import picture

pytestmark = [
    pytest.mark.skipif(not importlib.util.find_spec("distributed"), reason="needs the package distributed"),
    pytest.mark.long,
]


def test_a_worker_starts_a_server_of_its_own_and_ends_it_with_the_run(
    tmp_path: Path, project: SdProject, fake: FakeSd
) -> None:
    at_worker = SdProject(tmp_path / "cluster/gpu", fake)
    at_worker.model("one.safetensors", content="one")
    (project.root / "pose.png").write_bytes(picture("PNG"))
    project.settings_file(server__url="'http://127.0.0.1:9'")  # of no account there
    project.job(
        items=[
            {"name": "Plain", "prompt": "a cat"},
            {"name": "From", "prompt": "a dog", "sd": {"images": {"init": "pose.png"}, "strength": 0.5}},
        ]
    )
    with cluster_of(tmp_path / "cluster", "gpu") as cluster:
        run = project.doit(IMAGEGEN_CLUSTER=cluster.address)
        assert run.tasks("generated") == ["portraits:from", "portraits:plain"], run.out + run.err
        assert fake.loads == [["one.safetensors"]]
        assert sorted(fake.generated) == ["a cat", "a dog"]
        until(lambda: not fake.running)
    assert (at_worker.root / ".imagegen/sd/server.log").exists()
    assert not (project.root / ".imagegen/sd/server.log").exists()
    lines = [line for line in project.lines() if "request" in line]
    assert all(line["backend_version"].startswith("1 (stable-diffusion.cpp ") for line in lines)
