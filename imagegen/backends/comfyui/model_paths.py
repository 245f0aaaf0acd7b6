"""`extra_model_paths.yaml`: the folders of models that the user has elsewhere, for ComfyUI to use where they are.

It lies in ComfyUI's own folder, where ComfyUI reads it by itself, however it is started.
"""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from imagegen.backends.comfyui.checkout import FOLDER
from imagegen.config.settings import Settings

__all__ = ["model_paths_file", "write_model_paths"]

_MARK = "# Written by doit comfyui:setup from [tool.imagegen.comfyui] model_paths in pyproject.toml: change it there.\n"
_NAME = "extra_model_paths.yaml"


class _Folders(str):
    """Folders, one a line, written to YAML as such."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Folders, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style="|")
)


def model_paths_file(root: Path) -> Path:
    """The file of the project at `root`; it is there only where folders are set, or where the user wrote one."""
    return root / FOLDER / _NAME


def write_model_paths(root: Path, settings: Settings) -> list[str]:
    """Have the file say what the settings say; a line for each thing that a person should know.

    One that somebody else wrote is left alone. Raises OSError.
    """
    path = model_paths_file(root)
    wanted = _text(root, settings)
    there = path.read_text("utf-8", "replace") if path.exists() else ""
    missing = [
        f"{FOLDER}/{_NAME}: {kind}: there is no folder {folder} yet"
        for kind, folders in settings.comfyui_model_paths
        for folder in folders
        if not (root / folder).is_dir()
    ]
    if there == wanted:
        return missing
    if there and not there.startswith(_MARK):
        said = "is not written by doit comfyui:setup and stays as it is; comfyui.model_paths is not in use"
        return [f"{FOLDER}/{_NAME}: {said}: add the folders there, or move the file away"] if wanted else []
    if not wanted:
        path.unlink()
        return [f"{FOLDER}/{_NAME}: removed: comfyui.model_paths is empty"]
    temporary = path.with_name(f"{_NAME}.tmp")
    temporary.write_text(wanted, encoding="utf-8")
    temporary.replace(path)
    return [f"{FOLDER}/{_NAME}: written", *missing]


def _text(root: Path, settings: Settings) -> str:
    paths = {
        # not resolve: a link stays a link
        kind: _Folders("".join(f"{os.path.abspath(root / folder)}\n" for folder in folders))  # noqa: PTH100
        for kind, folders in settings.comfyui_model_paths
        if folders
    }
    if not paths:
        return ""
    return _MARK + yaml.dump({"imagegen": paths}, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=10_000)
