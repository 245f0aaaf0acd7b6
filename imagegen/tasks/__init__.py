"""imagegen as doit sees it. A project's dodo.py takes all that is named here: `from imagegen.tasks import *`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagegen.process import prepare_process
from imagegen.tasks.commands import task_creators
from imagegen.tasks.jobs import task_jobs
from imagegen.tasks.loader import attach, doit_config

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Return the creator of a command's task, such as `task_verify`."""


_creators = task_creators()
globals().update(_creators)
__all__ = ["DOIT_CONFIG", "task_jobs", *sorted(_creators)]

prepare_process()
DOIT_CONFIG = doit_config(Path.cwd())
attach(DOIT_CONFIG)
