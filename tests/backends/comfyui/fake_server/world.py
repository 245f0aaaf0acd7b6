"""What a test may set on the fake server, before or while it serves, and what it may read afterwards."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

__all__ = ["SAMPLERS", "SCHEDULERS", "Fault", "World"]

SAMPLERS = (
    *("euler", "euler_cfg_pp", "euler_ancestral", "euler_ancestral_cfg_pp", "heun", "heunpp2", "dpm_2"),
    *("dpm_2_ancestral", "lms", "dpm_fast", "dpm_adaptive", "dpmpp_2s_ancestral", "dpmpp_sde", "dpmpp_2m"),
    *("dpmpp_2m_sde", "dpmpp_3m_sde", "ddpm", "lcm", "ipndm", "deis", "res_multistep", "er_sde", "ddim", "uni_pc"),
)
"""More than 20, so that a wrong one is answered with the length of the list alone."""
SCHEDULERS = ("simple", "sgm_uniform", "karras", "exponential", "ddim_uniform", "beta", "normal", "kl_optimal")

Kind = Literal[
    # of a prompt, decided when it is posted
    "error",
    "out of memory",
    "interrupted",
    "hangs",
    "wrong size",
    "black",
    "truncated",
    "html",
    "missing file",
    "no outputs",
    "lost",
    "node errors",
    "post 500",
    "post reset",
    # of any GET
    "dropped",
    "502",
    # of a websocket
    "socket refused",
    "socket silent",
    "socket closes",
]


@dataclass(eq=False)
class Fault:
    """Something that goes wrong, as often as `times`.

    kind, for a prompt: "error" (execution_error with `message` and `exception_type` at `node`, an ID or a class; by
    default where the sampler is), "out of memory" (the same, as a GPU says it), "interrupted" (as if somebody else
    did), "hangs" (runs until it is interrupted or the server stops), "wrong size", "black" (flat), "truncated",
    "html" (a page in place of the image), "missing file" (404), "no outputs" (success without any), "lost" (gone from
    queue and history when its turn comes), "node errors" (in a 200; it then has no outputs), "post 500" and "post
    reset" (no answer), though queued.
    kind, for a GET: "dropped" (the connection is reset), "502" (a proxy's page).
    kind, for a websocket: "socket refused" (403), "socket silent", "socket closes" (in place of the first progress).
    word: it strikes only prompts whose graph has this text in it, or requests whose path has. skip: how many that it
    could strike are let pass first. times: how many it then strikes; None for all. seconds: a fault of GETs strikes
    all of them for so long from its first on, and `times` does not count.
    """

    kind: Kind
    word: str = ""
    skip: int = 0
    times: int | None = 1
    seconds: float = 0.0
    message: str = "the fake server was told to fail"
    exception_type: str = "RuntimeError"
    node: str = ""
    ends: float | None = field(default=None, init=False)

    def strikes(self, kind: str, text: str) -> bool:
        """Whether it does, now; counts down."""
        if kind != self.kind or self.word not in text:
            return False
        if self.ends is not None:
            return time.monotonic() < self.ends
        if self.skip:
            self.skip -= 1
            return False
        if self.seconds:
            self.ends = time.monotonic() + self.seconds
            return True
        if self.times is None:
            return True
        self.times -= 1
        return self.times >= 0


@dataclass(eq=False)
class World:
    """The state of a fake server that outlives a restart.

    folder: has `output`, `temp` and `input`. checkpoints: name → what its weights are, any text: with another text
    the same graph draws another picture (once nothing is cached, see /free). seconds: what sampling takes. loading:
    what a checkpoint takes that is not the last prompt's. steps: how many of them the websocket tells; None for as
    many as the graph asks for. history_delay: seconds from `execution_success` until history has the job. version: of
    ComfyUI; older ones behave as they did. auth: the Authorization header without which there is a 401. log: (method,
    path with query, body or None) of each request. executions: each prompt_id whose execution began, in order.
    """

    folder: Path
    checkpoints: dict[str, str]
    loras: list[str]
    vaes: list[str]
    unets: list[str]
    clips: list[str]
    samplers: list[str]
    schedulers: list[str]
    seconds: float
    loading: float
    steps: int | None
    history_delay: float
    version: str
    auth: str | None
    faults: list[Fault] = field(default_factory=list)
    log: list[tuple[str, str, Any]] = field(default_factory=list)
    executions: list[str] = field(default_factory=list)
    mutex: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def strike(self, kind: str, text: str) -> Fault | None:
        """The first fault of this kind that strikes this text, if one does."""
        with self.mutex:
            return next((fault for fault in self.faults if fault.strikes(kind, text)), None)

    def strike_prompt(self, graph: Mapping[str, Any]) -> Fault | None:
        """The first fault, in the order of `faults`, that strikes a prompt with this graph."""
        text = json.dumps(graph, ensure_ascii=False)
        other = {"dropped", "502", "socket refused", "socket silent", "socket closes"}
        with self.mutex:
            return next((f for f in self.faults if f.kind not in other and f.strikes(f.kind, text)), None)

    def since(self, *version: int) -> bool:
        """Whether this ComfyUI is at least so new."""
        return tuple(int(part) for part in self.version.split(".")) >= version

    def models(self, kind: str) -> list[str] | None:
        """The files of a model folder as the server lists them, or None where it has no such folder."""
        folders = {
            "checkpoints": list(self.checkpoints),
            "loras": self.loras,
            "vae": self.vaes,
            "diffusion_models": self.unets,
            "text_encoders": self.clips,
        }
        return sorted(folders[kind]) if kind in folders else None
