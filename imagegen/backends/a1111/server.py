"""One server: its HTTP API, /sdapi/v1, as all programs have it in common, and what it is and has."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from imagegen.backends.a1111.programs import DRAW_THINGS, Program, identify
from imagegen.backends.choices import index_names
from imagegen.backends.json_api import JsonApi, Refused, Unreachable, list_objects, read_json
from imagegen.backends.text import file_name
from imagegen.errors import Problem

__all__ = ["Server", "Stage"]

_MOST = 256 * 1024**2
"""Bytes of an answer with an image in it, or with the training data of all LoRAs."""
_POLL_S = 5.0
"""Seconds that a server may take to say how far it is."""


@dataclass(frozen=True)
class Stage:
    """What a server generates now: which image, as far as it says (empty if none), and how much of it, up to 1."""

    job: str
    done: float
    was_stopped: bool = False
    """Whether somebody interrupted this image, or the last one."""
    is_queued: bool = False
    """Whether the image that was asked about waits for others."""


class Server(JsonApi):
    """One server, which is asked at once what it is and has. user_and_password: with a colon between; may be empty.

    Raises:
        Unreachable: nothing answers.
        Refused: what answers does not have the API; or as always.
    """

    api = "A1111"
    url_setting = "a1111.server.url in the job or in [tool.imagegen]"
    auth_setting = "A1111_AUTH"
    auth_servers = "the server of the settings"
    auth_url_setting = "a1111.server.url in [tool.imagegen], or A1111_URL,"

    def __init__(self, url: str, user_and_password: str = "") -> None:
        encoded = base64.b64encode(user_and_password.encode("utf-8")).decode("ascii")
        self.auth = f"Basic {encoded}" if user_and_password else ""
        super().__init__(url, self.auth, user_and_password, user_and_password.partition(":")[2])
        self.program, self.version = identify(self.find) or self._refuse()
        options = self.look("/sdapi/v1/options") or {}
        if self.program.comments and options.get("enable_prompt_comments") is not False:
            self.program = replace(self.program, changes=f"{self.program.changes}|{self.program.comments}")
        # A1111 and its relatives say of an image which LoRAs they loaded
        self.lists_loras = self.program.takes_task and options.get("lora_add_hashes_to_infotext") is not False
        self.loaded = _text(options, "sd_model_checkpoint") or _text(options, "model")  # empty if it does not say
        # what each may be called, as the server lists it first, by its file as it is there without a hash
        self.checkpoints = dict(filter(None, map(_name_checkpoint, self._list("sd-models"))))
        # its own name for each, by that name and its aliases in lower case; empty if it has no list
        fixed = [{"name": name} for name in self.program.samplers]
        self.samplers = index_names(fixed or self._list("samplers"), "aliases")
        self.schedulers = index_names(self._list("schedulers"), "label") if not self.program.no_scheduler else {}

        # what it took in place of what it was asked for: by checkpoint, sampler, what it is, and what was asked
        self.differences: dict[tuple[str, str, str, str], Problem] = {}

    @property
    def _set_auth(self) -> str:
        return "set A1111_AUTH to user:password, as the server's --api-auth has them"

    def _refuse(self) -> tuple[Program, str]:
        """Raise what is wrong with a server that does not have the API."""
        from imagegen.backends.other_server import find_other_server

        if other := find_other_server(self, "a1111"):
            raise other
        hint = f"start A1111, Forge or reForge with --api, or correct {self.url_setting}"
        raise Refused(f"what answers at {self.url} does not have A1111's API", hint)

    @cached_property
    def loras(self) -> Mapping[str, str] | None:
        """What a request calls each LoRA, by each name that a job may give it; None if there is no list."""
        if self.program is DRAW_THINGS:
            return None
        names: dict[str, str] = {}
        for one in self._list("loras"):
            path, by_path = _text(one, "path"), self.program.loras == "lora"
            for name in (
                _text(one, "name"),
                _text(one, "alias"),
                path.replace("\\", "/") if by_path else file_name(path),
            ):
                names.setdefault(name, path if by_path else _text(one, "name"))
        return {name: sent for name, sent in names.items() if name and sent}

    def _list(self, name: str) -> list[Mapping[str, Any]]:
        return list_objects(self.find(f"/sdapi/v1/{name}", limit=_MOST))

    def stage(self) -> Stage | None:
        """Return what it generates now; None if it does not say."""
        try:
            found = self._json("GET", "/sdapi/v1/progress?skip_current_image=true", silence_s=_POLL_S)
            state = found["state"]
            job = f"{state['job']} {state.get('job_timestamp')}" if state.get("job") else ""
            return Stage(job, _fraction(found), bool(state.get("interrupted") or state.get("skipped")))
        except (Refused, Unreachable, LookupError, TypeError, AttributeError):
            return None

    def task_stage(self, task: str) -> Stage | None:
        """Return what its web UI says of the request with this ID, which is the job's name; None if it says nothing."""
        body = {"id_task": task, "id_live_preview": -1, "live_preview": False}
        try:
            found = self._json("POST", "/internal/progress", silence_s=_POLL_S, json=body)
            is_active, is_queued = found["active"] is True, found["queued"] is True
            return Stage(task if is_active else "", _fraction(found), is_queued=is_queued)
        except (Refused, Unreachable, LookupError):
            return None

    def generate(self, body: Mapping[str, Any], check: Callable[[], None]) -> tuple[bytes, Mapping[str, Any]]:
        """Return an image and what is said of it, if anything. Raises Refused, Unreachable, and what `check` does."""
        path = "/sdapi/v1/img2img" if "init_images" in body else "/sdapi/v1/txt2img"
        asked = f"{body['prompt']}\n{body['negative_prompt']}"  # which both the answer and the image repeat
        answer = self._json(
            "POST", path, asked=asked, limit=_MOST, check=check, silence_s=math.inf, reconnects=True, json=dict(body)
        )
        info = _read_info(answer.get("info"))
        first = info.get("index_of_first_image")
        try:
            text = answer["images"][first if isinstance(first, int) else 0]
        except (LookupError, TypeError):
            text = ""
        if not text:
            what = f"{self.url} answered without an image, as if it ran out of memory or had no model"
            raise Refused(what, "look at its own log: it says why")
        return self._decode_image(text, asked=asked), info

    def interrupt(self) -> None:
        """Stop what it generates, even if another person asked for it."""
        self._send("POST", "/sdapi/v1/interrupt")


def _read_info(info: object) -> Mapping[str, Any]:
    """Return what an answer says of its image: JSON in a text, an object, or nothing."""
    try:
        found = read_json(info.encode("utf-8", "replace")) if isinstance(info, str) and info else info
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}


def _name_checkpoint(one: Mapping[str, Any]) -> tuple[str, Sequence[str]] | None:
    """Return a checkpoint's file and its names: as listed, with folder and ending or without, by its hash."""
    if not (title := _text(one, "title") or _text(one, "model_name")):
        return None
    file = re.sub(r" \[[0-9a-fA-F]+\]$", "", title).replace("\\", "/")  # it gets the hash only once it was loaded
    files = (file, file_name(file), file_name(_text(one, "filename")))
    names = (title, *files, *(name.rpartition(".")[0] for name in files), _text(one, "model_name"), _text(one, "hash"))
    return file, [name for name in names if name]


def _fraction(found: Mapping[str, Any]) -> float:
    value = found.get("progress")
    return value if isinstance(value, (int, float)) and 0 <= value <= 1 else 0.0


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""
