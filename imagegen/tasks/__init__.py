"""imagegen as doit sees it: the only room that imports doit. A project's dodo.py takes all that is named here."""

from __future__ import annotations

from pathlib import Path

from imagegen.commands.comfyui import task_comfyui
from imagegen.commands.curation import task_accept, task_pick, task_reroll, task_restore
from imagegen.commands.doctor import task_doctor
from imagegen.commands.gallery import task_gallery
from imagegen.commands.image import task_image
from imagegen.commands.models import task_models
from imagegen.commands.ollama import task_ollama
from imagegen.commands.schema import task_schema
from imagegen.commands.server import task_server
from imagegen.commands.settings import task_settings
from imagegen.commands.store import task_store
from imagegen.commands.upkeep import task_prune, task_verify
from imagegen.commands.why import task_why
from imagegen.tasks.jobs import task_jobs
from imagegen.tasks.loader import attach, doit_config
from imagegen.tasks.process import prepare_process

__all__ = [
    "DOIT_CONFIG",
    "task_accept",
    "task_comfyui",
    "task_doctor",
    "task_gallery",
    "task_image",
    "task_jobs",
    "task_models",
    "task_ollama",
    "task_pick",
    "task_prune",
    "task_reroll",
    "task_restore",
    "task_schema",
    "task_server",
    "task_settings",
    "task_store",
    "task_verify",
    "task_why",
]

prepare_process()
DOIT_CONFIG = doit_config(Path.cwd())
attach(DOIT_CONFIG)
