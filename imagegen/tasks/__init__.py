"""imagegen as doit sees it: the only room that imports doit. A project's dodo.py takes all that is named here."""

from __future__ import annotations

from pathlib import Path

from imagegen.tasks.comfyui import task_comfyui
from imagegen.tasks.configuration import doit_config
from imagegen.tasks.curation import task_accept, task_pick, task_reroll, task_restore
from imagegen.tasks.doctor import task_doctor
from imagegen.tasks.gallery import task_gallery
from imagegen.tasks.image import task_image
from imagegen.tasks.jobs import task_jobs
from imagegen.tasks.loader import attach
from imagegen.tasks.models import task_models
from imagegen.tasks.ollama import task_ollama
from imagegen.tasks.process import prepare_process
from imagegen.tasks.schema import task_schema
from imagegen.tasks.server import task_server
from imagegen.tasks.settings import task_settings
from imagegen.tasks.store import task_store
from imagegen.tasks.upkeep import task_prune, task_verify
from imagegen.tasks.why import task_why

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
