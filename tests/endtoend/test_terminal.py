"""What a run shows on a terminal, and elsewhere."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests.endtoend.ollama import OllamaProject
from tests.project_folder import ProjectFolder

pty = pytest.importorskip("pty", reason="there are pseudo-terminals on POSIX only")


def on_a_terminal(project: ProjectFolder, *arguments: str) -> str:
    """All that doit writes where its output is a terminal, control sequences and all."""
    before = Path.cwd()
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(project.root)
        os.environ.pop("CI", None)
        os.environ.update(project.environment, TERM="xterm-256color", COLUMNS="100", LINES="30")
        os.execv(sys.executable, [sys.executable, "-m", "doit", *arguments])  # noqa: S606 - the shell is what is not wanted
    assert Path.cwd() == before
    shown = b""
    while True:
        try:
            read = os.read(terminal, 4096)
        except OSError:  # Linux says so where the other end is closed
            break
        if not read:
            break
        shown += read
    os.close(terminal)
    os.waitpid(process, 0)
    return shown.decode("utf-8")


def test_a_terminal_gets_a_bar_with_the_time_left_and_what_is_in_flight(project: ProjectFolder) -> None:
    project.script(acts={"*": [{"delay_s": 0.6}]})
    project.job()
    shown = on_a_terminal(project)
    assert "\x1b[" in shown
    assert "1/3" in shown
    assert "left" in shown
    assert "portraits:yrr" in shown.split("1/3")[1]
    assert "3 generated" in shown.splitlines()[-1]
    assert "Traceback" not in shown


def test_the_time_left_comes_from_what_was_recorded(project: ProjectFolder) -> None:
    project.build_job()
    lock = project.root / "jobs/portraits.lock"
    lines = [line.split('"seconds":') for line in lock.read_text().splitlines()]
    lock.write_text("".join(f'{head}"seconds":100.0,{tail.partition(",")[2]}\n' for head, tail in lines))
    project.script(acts={"*": [{"delay_s": 0.5}]})
    shown = on_a_terminal(project, "-a", "portraits:yrr", "portraits:okka")
    assert "3:20 left" in shown  # two of 100 s, one at a time


def test_a_run_with_nothing_to_do_shows_no_bar(project: ProjectFolder) -> None:
    project.build_job()
    shown = on_a_terminal(project)
    assert "\x1b[" not in shown
    assert "3 fresh, nothing to do" in shown


def test_elsewhere_there_are_plain_lines_without_control_sequences(project: ProjectFolder) -> None:
    project.script(acts={"Yrr": [{"error": "\x1b[31mred\x1b[0m"}]})
    project.job()
    run = project.doit()
    assert "\x1b" not in run.out + run.err
    assert "\\x1b[31mred" in run.out
    assert "━" not in run.out


def test_a_one_off_image_is_shown_in_the_same_way(project: ProjectFolder) -> None:
    size = ("--width", "2048", "--height", "2048")  # so that it takes as long as somebody can see
    shown = on_a_terminal(project, "image", "--prompt", "a raven", *size)
    assert re.search(r"image:a-raven +\x1b\[36m +0:00", shown)
    assert re.search(r"image:a-raven  assets/images/a-raven\.png .*seed \d+", shown)


def test_under_ci_each_event_has_a_line_with_its_time(project: ProjectFolder) -> None:
    waits = {"delay_s": 0.2, "steps": 2, "waiting": "loading the model"}
    project.script(acts={"Yrr": [waits], "Okka": [{"error": "no luck"}]})
    project.job()
    run = project.doit(CI="true")
    lines = run.out.splitlines()[:7]
    assert all(re.match(r"\d\d:\d\d:\d\d  ", line) for line in lines), run.out
    texts = [re.sub(r"  \d+\.\d s", "", line[10:]) for line in lines]
    # one is finished while the next one is begun
    assert sorted(texts, key=lambda text: ("mallsing", "yrr", "okka").index(text.split()[1].partition(":")[2])) == [
        "started    portraits:mallsing  assets/portraits/mallsing.png",
        "generated  portraits:mallsing  assets/portraits/mallsing.png  (new)",
        "started    portraits:yrr  assets/portraits/yrr.png",
        "waiting    portraits:yrr  loading the model",
        "generated  portraits:yrr  assets/portraits/yrr.png  (new)",
        "started    portraits:okka  assets/portraits/okka.png",
        "failed     portraits:okka  assets/portraits/okka.png",
    ]
    assert "\x1b" not in run.out


def test_ci_with_a_terminal_gets_plain_lines_too(project: ProjectFolder) -> None:
    project.job()
    project.environment["CI"] = "true"
    shown = on_a_terminal(project)
    assert "\x1b[" not in shown
    assert "started    portraits:yrr" in shown


def test_what_only_a_working_run_needs_is_not_imported_where_nothing_is_to_be_done(project: ProjectFolder) -> None:
    project.imports_count = True
    project.write(
        "dodo.py",
        "import atexit, sys\n"
        "heavy = {'PIL', 'rich', 'yaml', 'cerberus', 'text_unidecode'}\n"
        "heavy |= {f'imagegen.{room}' for room in ('backends.registry', 'config.job', 'execute', 'images', 'plan', 'project')}\n"
        "heavy |= {'decimal', *(f'imagegen.report.{data}' for data in ('results', 'run_summary', 'forecast_summary'))}\n"
        "heavy |= {f'imagegen.report.{data}' for data in ('disclosure_statement', 'doit_results', 'event_types')}\n"
        "atexit.register(lambda: print('imported:', *heavy & set(sys.modules)))\n"
        + (project.root / "dodo.py").read_text(),
    )
    project.build_job()
    for words in ((), ("portraits",)):
        assert project.doit(*words).out.splitlines()[-1] == "imported:"


def test_a_pull_and_what_is_drawn_meanwhile_have_a_line_each_above_the_bar(tmp_path: Path) -> None:
    project = OllamaProject(tmp_path)
    project.ollama.model(pulled=False)
    project.ollama.model("x/flux2-klein")
    project.ollama.fault("pull-slow", seconds=0.3)
    project.ollama.fault("slow", "slow", seconds=0.2)
    project.items("tall", name="kins")
    project.items("a slow bird", name="animals", ollama={"model": "x/flux2-klein"})
    with project.ollama.served():
        shown = on_a_terminal(project)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    drawn, pulled = (
        r"animals:a  ━*╌* \d/9 +\d:\d\d",
        r"kins +pulling x/z-image-turbo \d+ %, [\d.]+ GB of 12 GB +\d:\d\d",
    )
    assert re.search(rf"{drawn}\r\n{pulled}\r\n━*╌* \d/2", plain), shown
    assert "2 generated" in shown.splitlines()[-1]
