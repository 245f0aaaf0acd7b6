"""A ComfyUI server that misbehaves: what is seen, how often it is asked again, and that the next run makes it right.

The table in docs/reliability.md has a row for each of these.
"""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from imagegen.backends import json_api
from imagegen.backends.comfyui import connection as connection_module
from imagegen.backends.comfyui.backend import ComfyUIBackend
from imagegen.execute.worker import ImageProgress
from tests.backends.comfyui.fake_server import FakeComfyUI, Fault
from tests.faults.comfyui_project import comfyui_project
from tests.faults.middleman import Middleman, Trick, answer
from tests.marks import all_but_long

PAGE = b"<html><body>Please log in</body></html>"
BOTH = {"fox": "generated", "bird": "generated"}
ONE = {"fox": "generated", "bird": "failed"}
NONE = {"fox": "failed", "bird": "failed"}


def says(*parts: bytes) -> Callable[[bytes], Iterable[bytes]]:
    return lambda _: parts


def hangs(_: bytes) -> Iterator[bytes]:
    yield b""
    time.sleep(3)


def drips(_: bytes) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nX-Long: "
    for _second in range(200):
        yield b"x"
        time.sleep(0.05)


def half(body: bytes) -> Iterable[bytes]:
    return [answer(body[: len(body) // 2], kind="image/png", length=len(body))]


def cut(body: bytes) -> Iterable[bytes]:
    return [answer(body[: len(body) // 2], kind="image/png")]


def other(kind: str, size: tuple[int, int] = (64, 64)) -> Callable[[bytes], Iterable[bytes]]:
    file = io.BytesIO()
    Image.radial_gradient("L").resize(size).convert("RGB").save(file, kind)
    return says(answer(file.getvalue(), kind="image/png"))


nothing = says()
in_head = says(b"HTTP/1.1 200 OK\r\nContent-Ty")
garbage = says(answer(b'{"queue_running": [['))
page = says(answer(PAGE, kind="text/html"))
error_500 = says(answer(b"500 Internal Server Error", "500 Internal Server Error", "text/plain"))
error_502 = says(answer(b"<html>502</html>", "502 Bad Gateway", "text/html"))
busy = says(answer(b"slow down", "429 Too Many Requests", "text/plain"))


@dataclass(frozen=True)
class Row:
    """tricks: the middleman's; faults: the server's. states: of the first run. said: of it, a regular expression.

    posts: prompts that were posted in it. drawn: prompts that were executed, the next run's too.
    """

    tricks: tuple[Trick, ...] = ()
    faults: tuple[Fault, ...] = ()
    states: dict[str, str] | None = None
    message: str = "^$"
    posts: int = 2
    drawn: int = 2
    history_delay: float = 0.02


def history(says: Callable[[bytes], Iterable[bytes]], **how: float) -> Row:
    """Something is wrong with the first looks at history, for a while."""
    return Row((Trick("/history", says, seconds=0.6, **how),))  # type: ignore[arg-type]  # skip


AWAY = r"^both: the server at \S+ does not answer any more: "
NEXT = r"\n    see why .*then run doit: what was made is kept$"

ROWS: dict[str, Callable[[], Row]] = {
    # before anything is queued
    "reset in preflight": lambda: Row(
        (Trick("/system_stats", nothing),),
        states=NONE,
        message=r"^both: no ComfyUI answers at \S+ \(Remote end",
        posts=0,
    ),
    "500 in preflight": lambda: Row(
        (Trick("/system_stats", error_500),), states=NONE, message=r"^both: .*was answered with 500 Internal", posts=0
    ),
    "HTML in preflight": lambda: Row(
        (Trick("/system_stats", page),),
        states=NONE,
        message=r"the answer to GET /system_stats is not JSON: <html>",
        posts=0,
    ),
    "drip in preflight": lambda: Row(
        (Trick("/system_stats", drips),),
        states=NONE,
        message=r"^both: no ComfyUI answers .*not complete after",
        posts=0,
    ),
    # the POST of a prompt
    "POST reset before it arrived": lambda: Row((Trick("/prompt", nothing, "POST"),), posts=3),
    "POST reset after it arrived": lambda: Row((Trick("/prompt", nothing, "POST", arrives=True),)),
    "POST reset in the head of the answer": lambda: Row((Trick("/prompt", in_head, "POST", arrives=True),)),
    "POST never answered": lambda: Row((Trick("/prompt", hangs, "POST", arrives=True),)),
    "POST answered by drips": lambda: Row((Trick("/prompt", drips, "POST", arrives=True),)),
    "POST answered with garbage": lambda: Row((Trick("/prompt", garbage, "POST", arrives=True),)),
    "POST 502, not arrived": lambda: Row((Trick("/prompt", error_502, "POST"),), posts=3),
    "POST 500, not arrived": lambda: Row(
        (Trick("/prompt", error_500, "POST", skip=1),),
        states=ONE,
        message=r"^portraits:bird: queue: POST /prompt was answered with 500",
    ),
    "POST 500, arrived": lambda: Row((Trick("/prompt", error_500, "POST", arrives=True),)),
    "POST 429": lambda: Row(
        (Trick("/prompt", busy, "POST", skip=1),),
        states=ONE,
        message=r"^portraits:bird: queue: POST /prompt was answered with 429",
    ),
    "POST 502 without end": lambda: Row(
        (Trick("/prompt", error_502, "POST", times=None),),
        states=NONE,
        message=f"{AWAY}502 Bad Gateway{NEXT}",
        posts=-4,
    ),
    # while it is waited for
    "reset while waiting": lambda: history(nothing),
    "reset in the head while waiting": lambda: history(in_head),
    "500 for a while": lambda: history(error_500),
    "502 for a while": lambda: history(error_502),
    "429 for a while": lambda: history(busy),
    "garbage for a while": lambda: history(garbage),
    "HTML for a while": lambda: history(page),
    "a drip for a while": lambda: history(drips),
    "500 without end": lambda: Row(
        (Trick("/history", error_500, times=None, skip=4),),
        states=NONE,
        message=r"^portraits:(fox|bird): wait: GET /history/\S+ was answered with 500",
        drawn=-4,
    ),
    "a hang without end": lambda: Row(
        (Trick("/history", hangs, times=None, skip=4),), states=NONE, message=f"{AWAY}it says"
    ),
    "resets without end": lambda: Row(
        (Trick("/history", nothing, times=None, skip=4),), states=NONE, message=AWAY + "Remote"
    ),
    "history late": lambda: Row(history_delay=1.5),
    "history evicted": lambda: Row(
        faults=(Fault("lost", "bird"),), message=r"^portraits:bird: \S+ lost a prompt, .*queued once more$", posts=3
    ),
    "history evicted twice": lambda: Row(
        faults=(Fault("lost", "bird", times=2),),
        states=ONE,
        message=r"lost a prompt[^\n]*\nportraits:bird: wait: the server lost the prompt twice",
        posts=3,
    ),
    "an image that never ends": lambda: Row(
        faults=(Fault("hangs", "bird"),),
        states=ONE,
        message="^portraits:bird: wait: not done after 3 s\n    raise generate.timeout_s",
        drawn=3,
    ),
    "no websocket": lambda: Row(faults=(Fault("socket refused", times=None),)),
    # what it says of a prompt that is done
    "an error": lambda: Row(
        faults=(Fault("error", "bird"),),
        states=ONE,
        message=r"^portraits:bird: wait: ComfyUI failed in node sampler",
        drawn=3,
    ),
    "success without an image": lambda: Row(
        faults=(Fault("no outputs", "bird"),),
        states=ONE,
        message="^portraits:bird: wait: ComfyUI reports success, but no image came",
        drawn=3,
    ),
    # the image
    "404 on success": lambda: Row(
        faults=(Fault("missing file", "bird"),),
        states=ONE,
        message="^portraits:bird: download: ComfyUI reports success, but its file",
        drawn=3,
    ),
    "image reset before the head": lambda: Row((Trick("/view", nothing),)),
    "image reset in the middle": lambda: Row((Trick("/view", half, arrives=True),)),
    "image 500 for a while": lambda: Row((Trick("/view", error_500, seconds=0.5),)),
    "image that drips": lambda: Row(
        (Trick("/view", drips, skip=1, times=None),),
        states=ONE,
        message="^portraits:bird: download: not done after 3 s",
        drawn=3,
    ),
    "truncated image": lambda: Row(
        (Trick("/view", cut, skip=1, arrives=True),),
        states=ONE,
        message="^portraits:bird: verify: .*the image is cut off: no IEND",
        drawn=3,
    ),
    "HTML in place of the image": lambda: Row(
        (Trick("/view", page, skip=1),),
        states=ONE,
        message=r"^portraits:bird: verify: .*not a PNG, WebP, AVIF or JPEG image \(it starts with '<html>",
        drawn=3,
    ),
    "image of another size": lambda: Row(
        (Trick("/view", other("PNG", (64, 32)), skip=1),),
        states=ONE,
        message="^portraits:bird: verify: .*the image is 64×32, not the 64×64",
        drawn=3,
    ),
    "image of another format": lambda: Row((Trick("/view", other("JPEG"), skip=1),)),
    "image of a format unknown": lambda: Row(
        (Trick("/view", other("GIF"), skip=1),),
        states=ONE,
        message="^portraits:bird: verify: .*not a PNG, WebP, AVIF or JPEG image",
        drawn=3,
    ),
}


SHORT = (
    "reset in preflight",
    "POST reset before it arrived",
    "POST reset after it arrived",
    "POST answered with garbage",
    "POST 500, not arrived",
    "502 for a while",
    "500 for a while",
    "a hang without end",
    "history evicted",
    "an error",
    "image reset in the middle",
    "truncated image",
)


@pytest.fixture
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds in earnest takes tenths here."""
    monkeypatch.setattr(json_api, "CONNECT_S", 0.4)
    monkeypatch.setattr(json_api, "ANSWER_S", 0.4)
    monkeypatch.setattr(json_api, "WHOLE_S", 0.8)
    monkeypatch.setattr(connection_module, "PATIENCE_S", 1.2)
    monkeypatch.setattr(connection_module, "_QUEUE_S", 0.3)


@pytest.mark.usefixtures("short_times")
@pytest.mark.parametrize("name", all_but_long(ROWS, SHORT))
def test_a_fault_is_told_or_waited_out_and_the_next_run_makes_it_right(name: str, tmp_path: Path) -> None:
    row = ROWS[name]()
    with FakeComfyUI(seconds=0.1, history_delay=row.history_delay) as comfy, Middleman(comfy.url) as middleman:
        comfy.faults.extend(row.faults)
        middleman.tricks.extend(row.tricks)
        project = comfyui_project(tmp_path / "project", [middleman.url], timeout_s=3)
        began_s = time.monotonic()
        first = {task.removeprefix("portraits:"): state for task, state in project.build().items()}
        took_s = time.monotonic() - began_s
        posts = middleman.count("POST", "/prompt")
        failed = [item for item, state in first.items() if state == "failed"]
        assert sorted(first.values()) == sorted((row.states or BOTH).values()), project.report
        message = re.sub("^portraits:(fox, portraits:bird|bird, portraits:fox): ", "both: ", project.report)
        if row.states == ONE:  # which one it struck that was not named is as chance would have it
            message = message.replace(f"portraits:{failed[0]}: ", "portraits:bird: ")
        assert re.search(row.message, message), message
        assert posts == row.posts if row.posts >= 0 else posts <= -row.posts
        assert took_s < 8
        made = {item for item, state in first.items() if state == "generated"}
        assert project.files().keys() == {f"assets/portraits/{item}.png" for item in made}
        assert project.lock().count(b'"path"') == len(made)
        comfy.faults.clear()
        middleman.tricks.clear()
        again = project.build()
        assert again == {f"portraits:{item}": "generated" for item in first if item not in made}, project.report
        assert project.files().keys() == {"assets/portraits/fox.png", "assets/portraits/bird.png"}
        drawn = len(comfy.executions)
        assert drawn == row.drawn if row.drawn >= 0 else drawn <= -row.drawn


def test_asking_again_backs_off_by_chance_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "PATIENCE_S", 2.0)
    pauses: list[float] = []
    wait = ImageProgress.wait

    def note(progress: ImageProgress, seconds: float) -> None:
        pauses.append(seconds)
        wait(progress, seconds)

    monkeypatch.setattr(ImageProgress, "wait", note)
    with FakeComfyUI() as comfy, Middleman(comfy.url) as middleman:
        middleman.tricks.append(Trick("/queue", lambda _: [], times=None))
        project = comfyui_project(tmp_path / "project", [middleman.url], ["fox"])
        (state,) = project.build().values()
        assert state == "failed"
    assert 2 <= len(pauses) <= 10
    shares = [pause / min(0.1 * 2**at, 2.0) for at, pause in enumerate(pauses)]
    assert all(0.5 <= share <= 1 for share in shares)
    assert len(set(shares)) == len(shares)


def test_events_again_and_again_do_not_make_it_ask_without_pause(tmp_path: Path) -> None:
    with FakeComfyUI(seconds=1.0) as comfy:
        project = comfyui_project(tmp_path / "project", [comfy.url], ["fox"])
        backend = ComfyUIBackend()
        project.backends = {"comfyui": lambda: backend}
        over = threading.Event()

        def flood() -> None:
            while not over.wait(0.001):
                for connection in list(backend.fleet.connections.values()):
                    for watched in list(connection._events._watched.values()) if connection._events else ():
                        watched.done.set()

        thread = threading.Thread(target=flood)
        thread.start()
        assert project.build() == {"portraits:fox": "generated"}
        over.set()
        thread.join()
        looks = sum(1 for _, path, _ in comfy.log if path.startswith("/history"))
        assert looks <= 20
