"""Preflight of model files: that all are there, complete, and of the kind that their options are for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from imagegen.backends.models import find_missing_models, list_names
from imagegen.backends.sd.files import KINDS, get_files, locate_files, suggest_file
from imagegen.backends.sd.known_models import KNOWN_MODELS
from imagegen.backends.sd.model_header import BadModel, ModelHeader, read_header
from imagegen.backends.sd.model_kind import Contents, ModelKind, Role, find_role, find_vae_channels, inspect_model
from imagegen.errors import ImagegenError, Problem
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from imagegen.backends.sd.engine import Engine

__all__ = ["ModelCheck", "check_loras", "check_model", "inspect_main_file"]


@dataclass(frozen=True)
class ModelCheck:
    """What the files of a model come to.

    `contents` is None if a file is missing, not complete, or a checkpoint of PyTorch, in which nothing is looked for.
    """

    problems: Sequence[Problem]
    contents: Contents | None = None


_ROLES: Mapping[str, Role] = {
    "model": "checkpoint",
    "diffusion_model": "diffusion model",
    "vae": "VAE",
    "llm": "text encoder",
    "clip_l": "text encoder",
    "clip_g": "text encoder",
    "t5xxl": "text encoder",
    "lora": "LoRA",
}
"""What the file of an option is."""
_OPTIONS: Mapping[Role, str] = {
    "checkpoint": "name it as sd.model",
    "diffusion model": "name it as sd.diffusion_model",
    "VAE": "name it as sd.vae",
    "text encoder": "name it as sd.llm, sd.clip_l, sd.clip_g or sd.t5xxl, as its model needs it",
    "LoRA": "name it in sd.loras, with its strength",
}
_SMALL_VAES = frozenset({"--tae", "--taesd"})


def check_model(request: Request, engine: Engine) -> ModelCheck:
    """Check the files of a request's model. Those of a server of the user's own are not looked for."""
    problems: list[Problem] = []
    headers: dict[str, ModelHeader] = {}
    files = get_files(request)
    for part, name in files.items():
        path = engine.find_file(part, name)
        if not path:
            problems.append(_explain_missing(request, part, name, engine))
            continue
        found = _read(f"sd.{part}", name, path)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            headers[part] = found
    if problems or not headers or not all(header.tensors for header in headers.values()):
        return ModelCheck(problems)
    contents = inspect_model(headers)
    return ModelCheck(list(_check_kinds(files, headers, contents, engine.context.settings.sd_arguments)), contents)


def inspect_main_file(path: str) -> Contents | None:
    """Return what a checkpoint or diffusion model holds, which a server has loaded; None if that can't be seen here."""
    header = _read("", "", path)
    if isinstance(header, Problem) or not header.tensors:
        return None
    return inspect_model({"diffusion_model" if find_role(header) == "diffusion model" else "model": header})


def check_loras(request: Request, engine: Engine) -> list[Problem]:
    """Check that the LoRAs are in one folder, complete, and LoRAs."""
    if not request.extra.get("loras"):
        return []
    try:
        folder, paths = engine.find_lora_folder(request)
    except ImagegenError as error:
        return list(error.problems)
    problems = []
    for name, inner in paths.items():
        found = _read("sd.loras", name, str(Path(folder, inner)))
        if isinstance(found, Problem):
            problems.append(found)
        elif (role := find_role(found)) not in ("LoRA", ""):
            problems.append(Problem("", f"sd.loras: {name} is a {role}, not a LoRA", _OPTIONS[role]))
    return problems


def _read(option: str, name: str, path: str) -> ModelHeader | Problem:
    """Return the header of a file; the problem if it isn't a complete model."""
    try:
        stat = Path(path).stat()
        return _read_once(path, stat.st_size, stat.st_mtime_ns)
    except BadModel as bad:
        return Problem("", f"{option}: {name} {bad.what}", bad.hint)
    except OSError as error:
        return Problem("", f"{option}: {name} cannot be read: {error.strerror}", "fix its permissions")


@lru_cache(maxsize=64)
def _read_once(path: str, size: int, mtime_ns: int) -> ModelHeader:
    del size, mtime_ns  # what decides whether it is read again
    return read_header(Path(path))


def _explain_missing(request: Request, part: str, name: str, engine: Engine) -> Problem:
    """Return the problem of a file that isn't there."""
    pull = find_missing_models(engine.root, engine.context.settings).get(name)
    if request.model in KNOWN_MODELS and part not in request.extra:
        hint = pull or f"doit sd:setup --model={request.model}"
        return Problem("", f"{request.model}: its file {name} is not there", hint)
    if pull:
        return Problem("", f"sd.{part}: there is no file {name}", pull)
    folders = [folder for kind in KINDS[part] for folder in engine.folders.get(kind, ())]
    names = list_names(folders)
    near = suggest_file(name, [*names, *(KNOWN_MODELS if part == "model" else ())])
    hint = f"{locate_files(engine.root, folders, names)}; or give its path, from the project's folder"
    return Problem("", f"sd.{part}: there is no file {name}{near}", hint)


def _check_kinds(
    files: Mapping[str, str], headers: Mapping[str, ModelHeader], contents: Contents, arguments: Sequence[str]
) -> Iterator[Problem]:
    """Yield the problems of files that don't fit their options; of fitting ones, what the kind of model lacks."""
    roles = {part: find_role(header) for part, header in headers.items()}
    misplaced = [part for part, role in roles.items() if role not in ("", _ROLES[part], *_ALTERNATIVES.get(part, ()))]
    for part in misplaced:
        what = f"sd.{part}: {files[part]} is a {roles[part]}, not a {_ROLES[part]}"
        yield Problem("", what, _OPTIONS[roles[part]])
    if misplaced:
        return
    channels = find_vae_channels(headers["vae"]) if "vae" in headers else 0
    kind = contents.kind
    if kind and kind.channels and channels and channels != kind.channels:
        what = f"has {channels} channels, and {kind.name} needs a VAE with {kind.channels}"
        yield Problem("", f"sd.vae: {files['vae']} {what}", f"name the VAE that goes with {kind.name}")
    if kind:
        yield from _check_use(files, kind)
    part = "model" if "model" in headers else "diffusion_model"
    if part in headers:
        given = _Given(frozenset(files), contents, has_small_vae=bool(_list_names(arguments) & _SMALL_VAES))
        if found := _explain_incomplete(part, roles[part], headers[part], given):
            yield Problem("", f"sd.{part}: {files[part]} {found[0]}", found[1])


_ALTERNATIVES: Mapping[str, Sequence[Role]] = {"model": ["diffusion model"], "diffusion_model": ["checkpoint"]}
"""What may do too, with the other files."""
_WHOLE = "name the whole checkpoint, with its text encoders and VAE, as sd.model"


@dataclass(frozen=True)
class _Given:
    """What a job gives for a model: the options that name files, and what is in those.

    A small VAE may be among the settings' arguments: there is no option for it.
    """

    options: frozenset[str]
    contents: Contents
    has_small_vae: bool

    def list_missing(self, kind: ModelKind) -> list[str]:
        """Return the options that a kind of model needs, too."""
        missing = []
        if kind.needs_vae and not (self.contents.has_vae or "vae" in self.options or self.has_small_vae):
            missing.append("sd.vae")
        if kind.encoders and not (self.contents.has_encoder or self.options.intersection(kind.encoders)):
            missing += [f"sd.{part}" for part in kind.encoders]
        return missing


def _check_use(files: Mapping[str, str], kind: ModelKind) -> Iterator[Problem]:
    """Yield the problems of files that a model of this kind does not use."""
    used = {"model", "diffusion_model", *kind.encoders, *(["vae"] if kind.needs_vae else [])}
    for part in files:
        if part not in used:
            yield Problem("", f"sd.{part}: this model ({kind.name}) does not use it", "remove it")


def _explain_incomplete(part: str, role: Role, header: ModelHeader, given: _Given) -> tuple[str, str] | None:
    """Return what the main file lacks, and what to do; None if it lacks nothing, or if nobody knows.

    Args:
        part: the option of the main file; the next two are about that.
    """
    kind = given.contents.kind
    missing = given.list_missing(kind) if kind else []
    if kind and not missing:
        return None
    if role == "diffusion model" and (found := _explain_diffusion_model(part, header, given)):
        return found
    if role == "checkpoint" and part == "diffusion_model":
        return "is a whole checkpoint, not a diffusion model by itself", _OPTIONS[role]
    if kind:
        return f"is {kind.name}, which needs {_join(missing)} too", "name the files that its page says go with it"
    return None


def _explain_diffusion_model(part: str, header: ModelHeader, given: _Given) -> tuple[str, str] | None:
    """Return why a diffusion model by itself won't do, and what to do; None if it is right as `part`, or unknown."""
    kind = inspect_model({"diffusion_model": header}).kind
    if kind is None:
        is_unet = any("input_blocks.0.0." in name for name in header.tensors)
        return ("is a UNet by itself, which sd-server does not recognise", _WHOLE) if is_unet else None
    if part == "diffusion_model":
        return None
    needs, hint = given.list_missing(kind), _OPTIONS["diffusion model"]
    return f"holds only the diffusion model ({kind.name})", f"{hint}, with {_join(needs)}" if needs else hint


def _list_names(arguments: Sequence[str]) -> set[str]:
    return {argument.partition("=")[0] for argument in arguments}


def _join(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
