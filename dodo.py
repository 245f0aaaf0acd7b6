"""The build of this project's images: `doit` brings the stale ones up to date. See README.md."""

from imagegen.tasks import (
    DOIT_CONFIG,
    task_comfyui,
    task_doctor,
    task_image,
    task_jobs,
    task_models,
    task_ollama,
    task_schema,
    task_server,
    task_settings,
    task_why,
)

__all__ = [
    "DOIT_CONFIG",
    "task_comfyui",
    "task_doctor",
    "task_image",
    "task_jobs",
    "task_models",
    "task_ollama",
    "task_schema",
    "task_server",
    "task_settings",
    "task_why",
]
