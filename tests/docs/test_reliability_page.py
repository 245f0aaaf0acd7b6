"""The tables of docs/reliability.md against the tests and the code that they speak of."""

from __future__ import annotations

from imagegen.backends import download, json_api
from imagegen.backends.comfyui import client, connection
from imagegen.backends.ollama import cli, image
from imagegen.backends.sd.client import MAX_ANSWER
from imagegen.images.formats import MAX_CHUNKS, MAX_SCANS
from imagegen.images.image_file import MAX_PIXELS
from tests.docs.pages import table
from tests.faults.test_misbehaving_comfyui import ROWS, SHORT

PAGE = "docs/reliability.md"


def test_each_fault_of_a_comfyui_server_that_is_tried_has_its_row() -> None:
    assert [row[0] for row in table(PAGE, "fault")] == list(ROWS)
    assert len(SHORT) == 12


def test_the_bounds_are_those_of_the_code() -> None:
    message = " ".join(" ".join(row) for row in table(PAGE, "what"))
    mib = 1024**2
    bounds = (
        f"{json_api.WHOLE_S:g} s from the first byte",
        f"{json_api.MAX_JSON // mib} MiB; {json_api._MAX_VALUES:,} values of JSON",
        f"looked at every 0.2 s; {client.MAX_IMAGE // mib} MiB",
        f"{json_api.ANSWER_S:g} s ",
        f"{json_api.WHOLE_S:g} s and {json_api.MAX_JSON // mib} MiB; {MAX_ANSWER // mib} MiB",
        f"{client._MOST // mib} MiB, and 1 MiB; a text of more than {client._MOST_TEXT // mib} MiB",
        f"{download.HEAD_S:g} s for the head of an answer; {download.PACE // 1024} KiB in each {download.PACE_S:g} s",
        f"{MAX_CHUNKS:,} chunks or segments; {MAX_SCANS} scans",
        f"{cli._ANSWER // mib} MiB and {cli._ASK_S:g} s; {cli._LOG // mib} MiB; {image._MOST // mib} MiB",
    )
    assert [bound for bound in bounds if bound not in message] == []
    assert MAX_PIXELS == 8192 * 8192
    assert connection.PATIENCE_S == 45
