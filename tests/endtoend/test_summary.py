"""`doit --summary FILE`, with the real doit."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path

from PIL import Image

from tests.project_folder import SMALL_JOB, ProjectFolder, press_ctrl_c


def sources(text: str) -> list[str]:
    return re.findall(r'<img src="([^"]+)"', text)


def test_it_says_what_the_run_did_with_pictures_beside_it(project: ProjectFolder) -> None:
    project.job(derive={"thumb": {"width": 16}})
    project.script(acts={"Okka": [{"error": "no luck"}]})
    project.write("jobs/broken.yaml", "items: [{name: a}]")
    file = project.root / "out/summary.md"
    doit = project.doit
    assert doit("--summary", "out/summary.md").code == 2
    text = file.read_text("utf-8")
    assert re.search(r"^## imagegen: 2 generated, 2 derived, 2 failed, 1 broken job \(", text, re.MULTILINE)
    assert "<code>portraits:okka</code>: <code>no luck</code>" in text
    assert "<code>jobs/broken.yaml:1:9</code>: <code>items[0].prompt: is missing</code>" in text
    assert len(sources(text)) == 2
    assert re.search(r'portraits:yrr<.*<br>with <a href="[^"]*thumb.png"><code>thumb</code></a>', text)
    for source in sources(text):
        with Image.open(file.parent / source) as picture:
            assert max(picture.size) <= 256
    assert all((file.parent / link).exists() for link in re.findall(r'<a href="([^"]+)"', text))

    (project.root / "jobs/broken.yaml").unlink()
    project.script()
    assert doit("--json", "--summary", "out/summary.md").answer["exit_code"] == 0
    text = file.read_text("utf-8")
    assert "portraits:okka" in text
    assert "portraits:yrr" not in text
    pictures = {path.name for path in (file.parent / "summary-images").iterdir()}
    assert pictures == {Path(source).name for source in sources(text)}
    assert doit("--summary=out/summary.md").code == 0
    assert "## imagegen: 6 fresh, nothing to do" in file.read_text("utf-8")

    assert doit("--summary=out/summary.md", "backend=nobody").code == 2
    text = file.read_text("utf-8")
    assert "## imagegen: nothing was built\n" in text
    assert "there is no backend &#39;nobody&#39;" in text
    if sys.platform != "win32":
        os.mkfifo(project.root / "fifo.md")
        run = doit("--summary=fifo.md")
        assert (run.code, "--summary=fifo.md: is a device, a pipe" in run.err) == (2, True)
    before = (project.root / "jobs/portraits.yaml").read_bytes()
    for words, message in (
        (["--summary", "jobs/portraits.yaml"], "is a file that doit --summary did not write"),
        (["--summary=jobs"], "is a folder"),
        (["--summary="], "it names no file"),
        (["--summary=-"], "it is always written to a file"),
        (["--summary=jobs/new.yaml"], "jobs/ is not for summaries"),
        (["--summary=dodo.py/s.md"], "nothing can be written in"),
        (["--summary=s.md", "why"], "doit why writes none"),
        (["--summary=s.md", "-r", "console"], "another reporter is chosen, which writes none"),
    ):
        run = doit(*words)
        assert (run.code, message in run.err) == (2, True)
    assert (project.root / "jobs/portraits.yaml").read_bytes() == before


def test_on_github_it_is_added_to_that_of_the_step_with_links_to_the_branch(project: ProjectFolder) -> None:
    project.job(**SMALL_JOB)
    project.git("init")
    project.write(".gitignore", ".imagegen/\nassets/portraits/yrr.png\n")
    step = project.write("step summary.md", "of another tool\n")
    github = {
        "GITHUB_STEP_SUMMARY": str(step),
        "GITHUB_SERVER_URL": "https://github.example",
        "GITHUB_REPOSITORY": "owner/game",
        "GITHUB_REF_NAME": "new art",
        "GITHUB_HEAD_REF": "",
    }
    assert project.doit("--summary", str(step), **github).code == 0
    text = step.read_text("utf-8")
    assert text.startswith("of another tool\n\n<!--")
    base = "https://github.example/owner/game/blob/new%20art/assets/portraits"
    assert sources(text) == [f"{base}/mallsing.png?raw=true"]
    assert "as they are on the branch new art, once they are pushed" in text
    assert not (project.root / "step summary-images").exists()


def test_a_run_that_is_stopped_has_one_too(project: ProjectFolder) -> None:
    project.job(**SMALL_JOB)
    project.script(acts={"Mallsing": [{"hang": True}], "Yrr": [{"hang": True}]})
    process = project.start("--summary=summary.md")
    end = time.monotonic() + project.patience_s
    while not project.calls("started"):
        assert time.monotonic() < end
        time.sleep(0.02)
    press_ctrl_c(process)
    process.send_signal(signal.SIGINT)  # the second one cancels what hangs
    process.communicate(timeout=project.patience_s)
    assert process.returncode == 130
    assert "## imagegen: 2 not built (" in (project.root / "summary.md").read_text("utf-8")
