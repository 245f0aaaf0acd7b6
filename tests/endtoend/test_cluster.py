"""Images that the workers of a Dask cluster draw."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.endtoend.cluster import Cluster, cluster_of
from tests.images.pictures import picture
from tests.project_folder import ProjectFolder, press_ctrl_c

pytestmark = pytest.mark.skipif(not importlib.util.find_spec("distributed"), reason="needs the package distributed")

ITEMS = [{"name": f"I{number}", "prompt": f"figure {number}"} for number in range(12)]
NAMES = sorted(item["name"] for item in ITEMS)
TASKS = sorted(f"portraits:{name.lower()}" for name in NAMES)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_of(tmp_path_factory.mktemp("cluster"), "one", "two") as found:
        yield found


@pytest.fixture
def cluster(shared: Cluster, project: ProjectFolder) -> Cluster:
    """Two workers, which take 0.05 s for an image; the project uses them."""
    shared.forget_calls()
    for name in ("one", "two"):
        shared.script(name, acts={"*": [{"delay_s": 0.05, "steps": 2}]})
        if name not in shared.processes:
            shared.start(name)
            shared.wait_for(name)
    use(project, shared)
    return shared


def use(project: ProjectFolder, cluster: Cluster) -> None:
    project.environment["IMAGEGEN_CLUSTER"] = cluster.address
    project.job(items=ITEMS)


def wait_until(happened: object) -> None:
    end = time.monotonic() + 60
    while not happened():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.01)


def one_line(out: str) -> str:
    """What is said of all images that failed, which is one thing, with what to do about it."""
    message = out.rstrip().partition("\n\n")[2].splitlines()
    assert len(message) == 3, out  # and the closing line
    return message[0]


def test_workers_draw_with_their_own_backend_and_the_caller_verifies_and_records(
    project: ProjectFolder, cluster: Cluster
) -> None:
    cluster.script("one", acts={"*": [{"delay_s": 0.05}], "I3": [{"size": [8, 8]}]})
    cluster.script("two", acts={"*": [{"delay_s": 0.05}], "I3": [{"cut": 9}]})
    run = project.doit()
    assert run.tasks("generated") == [task for task in TASKS if task != "portraits:i3"]
    assert "portraits:i3: verify: what scripted returned cannot be used" in run.out
    assert not project.image("i3").exists()
    assert (project.calls("started"), run.code) == ([], 1)  # nothing is drawn where doit runs
    assert sorted(cluster.calls("one") + cluster.calls("two")) == NAMES
    assert cluster.calls("one")
    assert cluster.calls("two")
    sha256s = {line["path"]: line["sha256"] for line in project.lines() if "path" in line}
    assert sha256s["assets/portraits/i4.png"] == hashlib.sha256(project.image("i4").read_bytes()).hexdigest()
    cluster.script("one")
    cluster.script("two")
    assert project.doit().tasks("generated") == ["portraits:i3"]
    assert "12 fresh, nothing to do" in project.doit().closing
    same = project.doit(IMAGEGEN_CLUSTER="none")  # it decides where, and not what
    assert "12 fresh, nothing to do" in same.closing


@pytest.mark.long
def test_the_images_of_a_killed_worker_are_made_elsewhere(project: ProjectFolder, cluster: Cluster) -> None:
    for name in ("one", "two"):
        cluster.script(name, acts={"*": [{"delay_s": 0.5}]})
    process = project.start()
    wait_until(lambda: cluster.calls("two"))
    hanging = cluster.root / "hanging" / "calls.jsonl"
    hanging.parent.mkdir()
    cluster.script("two", acts={"*": [{"hang": True}]}, log=str(hanging))
    wait_until(lambda: cluster.calls("hanging", "started"))
    wait_until(lambda: all(project.image(name.lower()).exists() for name in cluster.calls("two")))
    cluster.kill("two")
    cluster.script("one")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, ""), out + err
    assert "12 generated" in out
    finished = cluster.calls("one") + cluster.calls("two")
    assert sorted(finished) == NAMES  # the one that hung too, and none twice
    assert set(cluster.calls("hanging", "started")) <= set(cluster.calls("one"))


def test_an_image_that_costs_something_is_not_requested_again_when_its_worker_dies(
    project: ProjectFolder, cluster: Cluster
) -> None:
    project.job(items=ITEMS[:1])
    project.script(prices={"*": "0.04"})
    for name in ("one", "two"):
        cluster.script(name, acts={"*": [{"hang": True}]})
    process = project.start("budget=0.04")
    wait_until(lambda: cluster.calls("one", "started") + cluster.calls("two", "started"))
    (worker,) = (name for name in ("one", "two") if cluster.calls(name, "started"))
    cluster.kill(worker)
    out, _ = process.communicate(timeout=60)
    assert "portraits:i0: the worker that generated it is gone: " in out
    assert "; it may have been paid for, and the next run requests it again\n" in out
    assert len(cluster.calls("one", "started") + cluster.calls("two", "started")) == 1


def test_of_a_worker_too_an_answer_that_is_lost_may_have_been_paid_for(
    project: ProjectFolder, cluster: Cluster
) -> None:
    project.job(items=ITEMS[:1])
    project.script(prices={"*": "0.04"})
    for name in ("one", "two"):
        cluster.script(name, acts={"*": [{"lost": "the connection broke"}]})
    run = project.doit()
    assert "portraits:i0: the connection broke (at the worker " in run.out
    assert "1 failed, cost up to $0.04, 1 image may have been paid for without arriving" in run.closing
    assert len(cluster.calls("one", "started") + cluster.calls("two", "started")) == 1


def test_after_a_kill_an_image_goes_to_the_worker_where_it_was_begun(project: ProjectFolder, cluster: Cluster) -> None:
    project.job(items=ITEMS[:1])
    slow = {"*": [{"delay_s": 1}]}
    cluster.script("one", problems={"I0": "Dask would have it draw this, the first of its workers"})
    cluster.script("two", acts=slow)
    process = project.start()
    wait_until(lambda: cluster.calls("two", "started"))
    time.sleep(0.3)  # doit is told of it meanwhile
    process.kill()
    process.communicate()
    cluster.script("one")
    assert project.doit().tasks("generated") == TASKS[:1]
    assert cluster.calls("one", "started") == []
    assert cluster.calls("two", "started") == ["I0", "I0"]


def test_a_scheduler_that_dies_costs_one_line_and_nothing_that_was_made(project: ProjectFolder, tmp_path: Path) -> None:
    with cluster_of(tmp_path / "own", "one") as cluster:
        use(project, cluster)
        cluster.script("one", acts={"*": [{"delay_s": 0.2}]})
        process = project.start()
        wait_until(lambda: any(project.image(name.lower()).exists() for name in NAMES))
        cluster.kill("scheduler")
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in out + err
    made = re.findall(r"^generated +(\S+)  ", out, re.MULTILINE)
    assert one_line(out).endswith(
        f": the Dask cluster at {cluster.address} is gone, its scheduler does not answer any more"
    )
    assert (err, 1 <= len(made) < 12) == ("", True)
    run = project.doit(IMAGEGEN_CLUSTER="none")
    assert sorted(made + run.tasks("generated")) == TASKS
    assert run.closing.startswith(f"{12 - len(made)} generated, {len(made)} fresh")


@pytest.mark.long  # it waits 10 s
def test_a_cluster_that_does_not_answer_costs_one_line_and_a_bounded_wait(project: ProjectFolder) -> None:
    project.job(items=ITEMS)
    project.job("others", items=ITEMS)
    start = time.monotonic()
    run = project.doit("cluster=tcp://127.0.0.1:9")
    assert time.monotonic() - start < 20
    assert run.code == 1
    (message,) = [line for line in run.out.splitlines() if "Dask" in line]
    assert "the Dask cluster at tcp://127.0.0.1:9 cannot be used: it does not answer within 10 s" in message
    assert "doit cluster=none" in run.out
    assert "Dask" not in project.doit("why", "cluster=tcp://127.0.0.1:9").out  # planning asks nobody
    assert project.doit("cluster=none").code == 0


def test_an_encrypted_cluster_needs_certificates_which_is_told_at_once(project: ProjectFolder) -> None:
    project.job(items=ITEMS)
    start = time.monotonic()
    run = project.doit("cluster=tls://127.0.0.1:9")
    assert time.monotonic() - start < 10  # Dask waits 10 s to connect, and 20 s to give up
    assert one_line(run.out).endswith(
        "the Dask cluster at tls://127.0.0.1:9 cannot be used: Dask has no certificates here"
    )
    assert (run.code, run.err) == (1, "")


def test_placeholders_are_generated_here(project: ProjectFolder) -> None:
    project.job(backend="placeholder", items=ITEMS[:1])
    assert project.doit("cluster=tcp://127.0.0.1:9").tasks("generated") == ["portraits:i0"]


def test_a_package_that_is_missing_is_told_and_a_run_with_nothing_to_draw_needs_none(project: ProjectFolder) -> None:
    project.write("without/sitecustomize.py", "import sys\nsys.modules['distributed'] = None\n")
    project.environment["PYTHONPATH"] = str(project.root / "without")
    project.build_job()
    assert "3 fresh, nothing to do" in project.doit("cluster=tcp://127.0.0.1:9").closing
    project.image("yrr").unlink()
    assert project.doit("cluster=tcp://127.0.0.1:9").tasks("restored") == ["portraits:yrr"]
    run = project.doit("-a", "cluster=tcp://127.0.0.1:9")
    assert "cluster: tcp://127.0.0.1:9 needs the package distributed, which is not installed" in run.out
    assert "-m pip install distributed; or for now without the cluster: doit cluster=none" in run.out


@pytest.mark.long
def test_a_worker_that_cannot_draw_an_image_gets_none_of_it(project: ProjectFolder, cluster: Cluster) -> None:
    cluster.script("two", problems={"I1": "there is no model x", "I2": "there is no model x"})
    run = project.doit()
    assert (run.code, run.tasks("generated")) == (0, TASKS), run.out
    assert "the worker two cannot generate all images of a job: there is no model x" in run.out
    assert {"I1", "I2"} <= set(cluster.calls("one"))
    cluster.script("one", problems={"I1": "there is no model x"})
    run = project.doit("-a")
    assert run.tasks("generated") == []
    assert "portraits:i1: there is no model x (at all 2 workers)" in run.out
    doctor = project.doit("doctor").out
    assert re.search(rf"✓  backend scripted: cluster +{cluster.address} generates 2 at a time", doctor)
    assert re.search(r"✗  backend scripted: worker two +there is no model x", doctor)


@pytest.mark.long
def test_a_worker_whose_generator_is_gone_gets_no_more_images(project: ProjectFolder, cluster: Cluster) -> None:
    cluster.script("two", acts={"*": [{"delay_s": 0.3}]})
    process = project.start()
    wait_until(lambda: cluster.calls("two"))
    gone = dict.fromkeys(NAMES, "its server does not answer")
    cluster.script("two", acts={"*": [{"error": "its server does not answer"}]}, problems=gone)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, ""), out + err
    assert out.count("the worker two gets no more images: its server does not answer") == 1


@pytest.mark.long
def test_images_go_to_workers_with_a_gpu_where_there_is_one(project: ProjectFolder, tmp_path: Path) -> None:
    with cluster_of(tmp_path / "own", "none") as cluster:
        use(project, cluster)
        cluster.script("gpu")
        cluster.start("gpu", "--resources", "GPU=1")
        cluster.wait_for("gpu")
        assert project.doit().tasks("generated") == TASKS
        assert (sorted(cluster.calls("gpu")), cluster.calls("none")) == (NAMES, [])


@pytest.mark.long
def test_another_imagegen_at_a_worker_is_told_and_it_gets_no_images(project: ProjectFolder, tmp_path: Path) -> None:
    other = tmp_path / "other" / "doit_imagegen-9.9.dist-info"
    other.mkdir(parents=True)
    package = other.parent / "imagegen"
    package.mkdir()
    (package / "__init__.py").write_text("__version__ = '9.9'\n")
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: doit-imagegen\nVersion: 9.9\n")
    with cluster_of(tmp_path / "own") as cluster:
        use(project, cluster)
        cluster.script("new")
        cluster.start("new", PYTHONPATH=str(other.parent))
        cluster.wait_for("new")
        run = project.doit()
        assert (run.code, run.tasks("generated")) == (1, [])
        assert "can generate it: it has imagegen 9.9; here it is" in run.out
        cluster.script("same")
        cluster.start("same")
        cluster.wait_for("same")
        run = project.doit()
        assert (run.code, run.tasks("generated"), cluster.calls("new")) == (0, TASKS, [])
        assert re.search(r"the worker \S+ gets no images: it has imagegen 9\.9; here it is \d", run.out)


@pytest.mark.long
def test_a_worker_that_its_nanny_starts_anew_draws_on(project: ProjectFolder, tmp_path: Path) -> None:
    with cluster_of(tmp_path / "own") as cluster:
        use(project, cluster)
        cluster.script("one", acts={"*": [{"delay_s": 0.2}]})
        cluster.start("one", nanny=True)
        cluster.wait_for("one")
        process = project.start()
        wait_until(lambda: len(cluster.calls("one")) >= 3)
        (worker,) = [
            child
            for child in psutil.Process(cluster.processes["one"].pid).children(recursive=True)
            if "resource_tracker" not in " ".join(child.cmdline())
        ]
        worker.kill()
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, ""), out + err
        assert sorted(set(cluster.calls("one"))) == NAMES


@pytest.mark.long
def test_a_run_that_is_interrupted_stops_what_the_workers_draw(project: ProjectFolder, cluster: Cluster) -> None:
    for name in ("one", "two"):
        cluster.script(name, acts={"*": [{"hang": True}]})
    process = project.start()
    wait_until(lambda: cluster.calls("one", "started") and cluster.calls("two", "started"))
    press_ctrl_c(process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert "12 not built" in out, out + err
    wait_until(lambda: cluster.calls("one", "cancelled") and cluster.calls("two", "cancelled"))
    for name in ("one", "two"):
        cluster.script(name)
    assert project.doit().tasks("generated") == TASKS  # none of them is held by what is not wanted any more
    assert all(len(cluster.calls(name)) > 1 for name in ("one", "two"))


@pytest.mark.long
def test_reference_images_go_along(project: ProjectFolder, cluster: Cluster) -> None:
    project.root.joinpath("pose.png").write_bytes(picture("PNG"))
    project.job(items=ITEMS[:2], scripted={"script": "script.json", "images": {"pose": "pose.png"}})
    first = project.doit()
    assert first.tasks("generated") == ["portraits:i0", "portraits:i1"], first.out
    before = project.image("i0").read_bytes()
    project.job(
        items=[*ITEMS[:1], {"name": "Other", "prompt": "x", "scripted": {"images": {"pose": "portraits:i0"}}}],
        scripted={"script": "script.json"},
    )
    run = project.doit()
    assert "portraits:other" in run.tasks("generated"), run.out
    assert project.image("i0").read_bytes() != before
    assert len(cluster.calls("one") + cluster.calls("two")) == 4


@pytest.mark.long  # it waits 30 s
def test_a_scheduler_that_freezes_counts_as_gone(project: ProjectFolder, tmp_path: Path) -> None:
    with cluster_of(tmp_path / "own", "one") as cluster:
        use(project, cluster)
        cluster.script("one", acts={"*": [{"delay_s": 0.1}]})
        process = project.start()
        wait_until(lambda: len(cluster.calls("one")) >= 4)
        with cluster.frozen("scheduler"):
            out, err = process.communicate(timeout=60)
    assert one_line(out).endswith(
        f": the Dask cluster at {cluster.address} is gone, its scheduler does not answer any more"
    )
    assert (process.returncode, err) == (1, "")


@pytest.mark.long  # it waits 10 s
def test_a_worker_that_is_frozen_takes_no_part_until_it_answers(project: ProjectFolder, cluster: Cluster) -> None:
    for name in ("one", "two"):
        cluster.script(name, acts={"*": [{"delay_s": 2.0}]})
    with cluster.frozen("two"):
        process = project.start()
        wait_until(lambda: cluster.calls("one"))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, ""), out + err
    assert out.count("gets no images for now: it does not answer within 10 s") == 1
    assert "12 generated" in out
    assert cluster.calls("two")


@pytest.mark.long  # it waits 20 s
def test_a_worker_that_freezes_in_its_preflight_does_not_hold_up_the_others(
    project: ProjectFolder, cluster: Cluster
) -> None:
    reads = cluster.root / "two" / "script.json"
    reads.unlink()
    os.mkfifo(reads)  # whoever reads it waits
    process = project.start()
    wait_until(lambda: cluster.calls("one", "preflight"))
    with cluster.frozen("two"):
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, ""), out + err
    assert "the worker two gets no images for now: it does not answer within 10 s" in out
    assert sorted(cluster.calls("one")) == NAMES
    os.close(os.open(reads, os.O_WRONLY))  # it reads an empty file, and is done


@pytest.mark.long
def test_a_worker_that_comes_later_and_is_slow_holds_up_no_other_that_comes(
    project: ProjectFolder, tmp_path: Path
) -> None:
    with cluster_of(tmp_path / "own", "one") as cluster:
        use(project, cluster)
        cluster.script("one", acts={"*": [{"delay_s": 1.5}]})
        process = project.start()
        wait_until(lambda: cluster.calls("one"))
        slow = cluster.root / "slow"
        slow.mkdir()
        os.mkfifo(slow / "script.json")
        cluster.start("slow")
        cluster.wait_for("slow")
        cluster.script("well")
        cluster.start("well")
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, ""), out + err
        assert cluster.calls("well")


@pytest.mark.long  # it waits 30 s
def test_all_images_wait_together_for_a_worker_to_come_back(project: ProjectFolder, tmp_path: Path) -> None:
    with cluster_of(tmp_path / "own", "one") as cluster:
        use(project, cluster)
        cluster.script("one", acts={"*": [{"delay_s": 0.1}]})
        process = project.start()
        wait_until(lambda: len(cluster.calls("one")) >= 3)
        cluster.kill("one")
        out, err = process.communicate(timeout=60)  # it draws two at a time
    assert one_line(out).endswith(f": no worker of the Dask cluster at {cluster.address} can generate it")
    assert (process.returncode, err) == (1, "")


@pytest.mark.long  # it waits 30 s for another worker
def test_a_file_that_is_missing_at_a_worker_is_told_as_that(project: ProjectFolder, tmp_path: Path) -> None:
    with cluster_of(tmp_path / "own", "one") as cluster:
        use(project, cluster)
        cluster.script("one", acts={"*": [{"delay_s": 0.2}]})
        process = project.start()
        wait_until(lambda: cluster.calls("one"))
        (cluster.root / "one" / "script.json").unlink()
        out, _ = process.communicate(timeout=60)
    assert "No such file or directory: 'script.json' (at the worker one)" in out
    assert "is gone" not in out
