"""Where the files of a model are on this machine, and the digest that they have together."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from imagegen.backends.models import (
    EXTRA_PATHS,
    Folders,
    digest_cache,
    display_path,
    find_file,
    hash_model,
    list_candidates,
    list_model_folders,
    list_names,
)
from imagegen.backends.sd.known_models import KnownFile
from imagegen.backends.text import list_first
from imagegen.config.models import ModelFile
from imagegen.config.settings import Settings
from imagegen.errors import InputError, Problem, did_you_mean
from imagegen.plan.request import Request

__all__ = [
    "KINDS",
    "MAIN",
    "find_digest",
    "find_listed",
    "find_lora_folder",
    "find_model_file",
    "get_files",
    "list_digest_files",
    "list_files",
    "list_models",
    "locate_files",
    "name_here",
    "suggest_file",
]

KINDS: Mapping[str, Sequence[str]] = {
    "model": ("checkpoints",),
    "diffusion_model": ("diffusion_models", "unet"),
    "vae": ("vae",),
    "llm": ("text_encoders", "clip"),
    "clip_l": ("text_encoders", "clip"),
    "clip_g": ("text_encoders", "clip"),
    "t5xxl": ("text_encoders", "clip"),
    "lora": ("loras",),
}
"""The option that names a file → the kinds of model that it is looked for among."""
MAIN = ("model", "diffusion_model")
"""The options of which one names the main file: a server says that it has this one."""
_SHOWN = 5


def get_files(request: Request) -> Mapping[str, str]:
    """Return the name of each file of a request's model, by the option that names it.

    A job that names no model has a checkpoint chosen for it, which is only in `model`.
    """
    files: Mapping[str, str] = request.extra.get("files", {})
    if request.model and "model" not in files and "diffusion_model" not in files:
        return {"model": request.model, **files}
    return files


def list_files(request: Request) -> list[tuple[str, str]]:
    """Return all files that decide a request's pixels, LoRAs too: the option that names each, and its name."""
    return [*get_files(request).items(), *(("lora", name) for name in sorted(request.extra.get("loras", ())))]


def find_model_file(root: Path, folders: Folders, part: str, name: str) -> str:
    """Return the path of a model file; empty if there is none of that name.

    Args:
        root: the project's folder.
        folders: those of each kind of model.
        part: the option that names it, or `lora`.
        name: its name in a folder of its kind, or its path: absolute, or from `root`.
    """
    found = find_file(name, [folder for kind in KINDS[part] for folder in folders.get(kind, ())])
    if found:
        return found
    with suppress(RuntimeError, ValueError):  # ~ of nobody, or a NUL in it
        path = root / Path(name).expanduser()
        return str(path) if path.is_file() else ""
    return ""


def find_listed(settings: Settings, part: str, file: KnownFile) -> ModelFile | None:
    """Return the project's entry for a known model's file, whatever its name there; None if there is none."""
    return next(
        (one for one in settings.models if one.sha256 == file.sha256 and one.folder in KINDS[part]),
        None,
    )


def name_here(settings: Settings, part: str, file: KnownFile) -> str:
    """Return the name that a known model's file has in its folder: the one that the project lists, or its own."""
    listed = find_listed(settings, part, file)
    return listed.name if listed else file.name


def list_models(folders: Folders) -> list[str]:
    """Return the names of the checkpoints that there are."""
    return list_names(folders.get("checkpoints", ()))


def find_digest(root: Path, settings: Settings, files: Iterable[tuple[str, str]]) -> str | None:
    """Return the digest of files: the sha256 of the main one, by which sites know it, then one of the others' sha256.

    A file is read again only if its size or mtime has changed.

    Args:
        files: as `list_files` returns them.

    Returns:
        Hex, 64 digits if there is but one file, else 128; None if one isn't on this machine, or none is the main one.
    """
    folders = list_model_folders(root, settings)
    main, others = "", []
    for option, name in files:
        path = find_model_file(root, folders, option, name)
        sha256 = hash_model(path, digest_cache(root)) if path else None
        if sha256 is None:
            return None
        if option in MAIN:
            main = sha256
        else:  # a LoRA has its strength by its name
            others.append(f"{option} {name} {sha256}" if option == "lora" else f"{option} {sha256}")
    if not main:
        return None
    return main + (hashlib.sha256("\n".join(sorted(others)).encode()).hexdigest() if others else "")


def list_digest_files(root: Path, settings: Settings, files: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return the files that `find_digest` follows from, also those that would count if they were there."""
    folders = list_model_folders(root, settings)
    paths = [str(root / EXTRA_PATHS)]
    for option, name in files:
        paths += list_candidates(name, [folder for kind in KINDS[option] for folder in folders.get(kind, ())])
        with suppress(RuntimeError, ValueError):
            paths.append(str(root / Path(name).expanduser()))
    return tuple(os.path.abspath(path) for path in paths)  # noqa: PTH100 - it follows no link


def find_lora_folder(root: Path, folders: Folders, loras: Iterable[str]) -> tuple[str, Mapping[str, str]]:
    """Return the folder that has all of these LoRAs, and each one's path in it, by the name in the job.

    Raises:
        ImagegenError: one is missing, or they are in several folders.
    """
    found = {name: find_model_file(root, folders, "lora", name) for name in loras}
    own = folders.get("loras", ())
    problems = [_explain_missing_lora(root, name, own) for name, path in found.items() if not path]
    holders = {_find_holder(path, own) for path in found.values() if path}
    if not problems and len(holders) > 1:
        places = ", ".join(sorted(display_path(root, Path(one)) for one in holders))
        what = f"sd.loras: they are in {len(holders)} folders, and sd-server takes one: {places}"
        problems.append(Problem("", what, "put them into one folder"))
    if problems:
        raise InputError(*problems)
    folder = next(iter(holders))
    return folder, {name: Path(path).relative_to(folder).as_posix() for name, path in found.items()}


def _find_holder(path: str, folders: Sequence[str]) -> str:
    """Return the folder of LoRAs that a file is in; of one that is elsewhere, its own: the server lists all below."""
    file = Path(path)
    return next((folder for folder in folders if file.is_relative_to(folder)), str(file.parent))


def _explain_missing_lora(root: Path, name: str, folders: Sequence[str]) -> Problem:
    names = list_names(folders)
    what = f"sd.loras: there is no file {name}{suggest_file(name, names)}"
    return Problem("", what, f"{locate_files(root, folders, names)}; doit models:pull downloads those that you list")


def suggest_file(name: str, names: Sequence[str]) -> str:
    """Return `; did you mean 'tint.safetensors'?` for a name that lacks the ending or folder, or for the nearest."""
    low = name.lower()
    for one in names:
        path = PurePosixPath(one.lower())
        if low in (path.name, path.stem, str(path.with_suffix(""))):
            return f"; did you mean '{one}'?"
    return did_you_mean(name, names)


def locate_files(root: Path, folders: Sequence[str], names: Sequence[str]) -> str:
    """Return where to put a file that is in none of its folders, and which ones are there."""
    places = list(dict.fromkeys(display_path(root, Path(folder)) for folder in folders))
    put = f"put it into {places[0]}" if len(places) == 1 else f"put it into one of {list_first(places, 4)}"
    return f"{put}; those there: {list_first(names, _SHOWN)}" if names else put
