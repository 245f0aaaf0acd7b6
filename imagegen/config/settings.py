"""The project's settings. Strongest first: command line, (job file,) environment, pyproject.toml, built-in."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from imagegen.config.document import find_merge_conflict
from imagegen.config.models import HUGGING_FACE, ModelFile
from imagegen.config.setting_types import (
    ADDRESS,
    ARCHIVE,
    BOOLEAN,
    BUDGET,
    CLUSTER,
    DIALECT,
    ENDPOINT,
    FOLDER_TABLE,
    FOLDERS,
    LIMIT,
    MODELS,
    NO_USER,
    PATH,
    PRICES,
    SD_DEVICE,
    SECONDS,
    SHA256,
    SIZE,
    START,
    STORE,
    TEXT,
    TEXTS,
    TORCH,
    URL,
    URLS,
    VERSION,
    DialectName,
    SettingType,
)
from imagegen.errors import InputError, Problem, did_you_mean

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = [
    "COMMAND_LINE",
    "SETTINGS",
    "Setting",
    "Settings",
    "Value",
    "collect_settings",
    "explain_toml",
    "read_settings",
]


@dataclass(frozen=True)
class Setting:
    """What a setting is called, where it can be given, and what it means."""

    name: str  # in `[tool.imagegen]` of pyproject.toml, with a dot for a table within it
    kind: SettingType
    help: str  # one line
    built_in: Any = ""  # its value if nobody gives one
    environment: str = ""  # the variable that can give it, if any
    command_line: str = ""  # the same
    secret: bool = False  # only the environment can give it, and nothing shows, keeps or passes on its value here


def _setting(*args: Any) -> Any:
    """Return the field of `Settings` for a setting. args: of `Setting`."""
    setting = Setting(*args)
    return field(default=setting.built_in, metadata={"setting": setting})


@dataclass(frozen=True)
class Settings:
    """What holds for the whole project, but for secrets, which are not kept here."""

    backend: str = _setting(
        "backend", TEXT, "the backend for jobs that name none", "placeholder", "IMAGEGEN_BACKEND", "backend"
    )
    cluster: str = _setting(
        "cluster",
        CLUSTER,
        "a Dask cluster whose workers generate the images: its scheduler",
        "",
        "IMAGEGEN_CLUSTER",
        "cluster",
    )
    allow_outside: tuple[str, ...] = _setting(
        "allow_outside", FOLDERS, "folders outside the project that jobs may read and write", ()
    )
    store_bytes: int = _setting(
        "store_size",
        SIZE,
        "size limit of .imagegen/store; runs that store an image, and doit prune, remove those used least recently",
        5 * 1024**3,
    )
    store: str = _setting("store", STORE, "a store shared with others: s3, ssh or file", "", "IMAGEGEN_STORE", "store")
    store_writes: bool = _setting(
        "store_writes",
        BOOLEAN,
        "whether images generated here are uploaded to the shared store",
        True,
        "IMAGEGEN_STORE_WRITES",
        "store_writes",
    )
    wait_s: float = _setting("wait_s", SECONDS, "seconds to wait for another build of this project", 0.0, "", "wait")
    budget: Decimal | None = _setting(  # noqa: RUF009 - it is a field
        "budget", BUDGET, "what one run may cost at most", None, "", "budget"
    )
    limit: int | None = _setting(
        "limit", LIMIT, "how many stale images of each job one run builds at most", None, "", "limit"
    )
    comfyui_server_urls: tuple[str, ...] = _setting(
        "comfyui.server.url",
        URLS,
        "the ComfyUI server, or several: a list, or separated by commas",
        ("http://127.0.0.1:8188",),
        "COMFYUI_URL",
    )
    comfyui_server_start: Literal["auto", "never"] = _setting(
        "comfyui.server.start", START, "whether a run starts a server on this machine if none answers", "auto"
    )
    comfyui_server_ready_timeout_s: float = _setting(
        "comfyui.server.ready_timeout_s", SECONDS, "seconds that the server may take to start", 180.0
    )
    comfyui_server_arguments: tuple[str, ...] = _setting(
        "comfyui.server.arguments", TEXTS, "more arguments for ComfyUI's main.py, such as --lowvram", ()
    )
    comfyui_checkpoint: str = _setting(
        "comfyui.checkpoint", TEXT, "the checkpoint for jobs that name none", "", "COMFYUI_CKPT", "checkpoint"
    )
    comfyui_checkpoint_dirs: tuple[str, ...] = _setting(
        "comfyui.checkpoint_dirs", FOLDERS, "more folders with checkpoints, to look in while no server runs", ()
    )
    comfyui_model_paths: tuple[tuple[str, tuple[str, ...]], ...] = _setting(
        "comfyui.model_paths", FOLDER_TABLE, "folders of models that you have, for ComfyUI to use where they are", ()
    )
    comfyui_repository: str = _setting(
        "comfyui.repository", TEXT, "what doit comfyui:setup clones", "https://github.com/Comfy-Org/ComfyUI"
    )
    comfyui_revision: str = _setting(
        "comfyui.revision", TEXT, "the pinned revision: a tag, branch or commit", "v0.33.0"
    )
    comfyui_python: str = _setting(
        "comfyui.python", TEXT, "the Python of ComfyUI's venv: a command or path; by default, the best one found"
    )
    comfyui_torch: Literal["auto", "cuda", "rocm", "mps", "cpu", "none"] = _setting(
        "comfyui.torch", TORCH, "the PyTorch build; auto: the one for this machine", "auto"
    )
    comfyui_torch_index: str = _setting(
        "comfyui.torch_index", TEXT, "the package index with that PyTorch build, instead of PyTorch's own"
    )
    ollama_host: str = _setting("ollama.host", ADDRESS, "the Ollama server", "127.0.0.1:11434", "OLLAMA_HOST")
    ollama_version: str = _setting("ollama.version", VERSION, "what doit ollama:setup installs", "0.32.5")
    ollama_archive_sha256: str = _setting(
        "ollama.archive_sha256",
        SHA256,
        "the sha256 of that version's archive",
        "5789dd037a86adb328c72c11fc45e6c558452d07e5b50814a8bdb7b0fbdbcd81",
    )
    ollama_archive: str = _setting(
        "ollama.archive", ARCHIVE, "that archive; by default, ollama-darwin.tgz of Ollama's release on GitHub"
    )
    sd_model: str = _setting("sd.model", TEXT, "the model for jobs that name none", "", "SD_MODEL")
    sd_program: str = _setting("sd.program", PATH, "a build of your own: the path of its sd-server")
    sd_device: Literal["auto", "cpu", "vulkan", "metal", "rocm", "cuda"] = _setting(
        "sd.device",
        SD_DEVICE,
        "what the build that doit sd:setup installs generates on; auto: a GPU if there is one",
        "auto",
    )
    sd_archive: str = _setting(
        "sd.archive", ARCHIVE, "that build's zip; by default, the one of the pinned release on GitHub"
    )
    sd_archive_sha256: str = _setting("sd.archive_sha256", SHA256, "the sha256 of a zip that is not of that release")
    sd_arguments: tuple[str, ...] = _setting(
        "sd.arguments", TEXTS, "more arguments of sd-server, such as --diffusion-fa", ()
    )
    sd_offload: bool = _setting(
        "sd.offload", BOOLEAN, "whether models wait in main memory, for a GPU with too little of its own", False
    )
    sd_server_url: str = _setting(
        "sd.server.url", URL, "a server of your own, which is used and left alone", "", "SD_SERVER_URL"
    )
    sd_server_ready_timeout_s: float = _setting(
        "sd.server.ready_timeout_s", SECONDS, "seconds that a server may take to load its model", 600.0
    )
    a1111_server_url: str = _setting(
        "a1111.server.url", URL, "the server with A1111's API", "http://127.0.0.1:7860", "A1111_URL"
    )
    a1111_checkpoint: str = _setting("a1111.checkpoint", TEXT, "the checkpoint for jobs that name none")
    openai_server_url: str = _setting(
        "openai.server.url",
        URL,
        "the server with OpenAI's images API: what stands before /images/generations",
        "https://api.openai.com/v1",
        "OPENAI_BASE_URL",
    )
    openai_dialect: DialectName = _setting(  # noqa: RUF009 - as the others
        "openai.dialect", DIALECT, "which program that server is, as far as it decides what a request may have"
    )
    openai_model: str = _setting("openai.model", TEXT, "the model for jobs that name none")
    openai_prices: tuple[tuple[str, Decimal], ...] = _setting(
        "openai.prices", PRICES, "what an image costs in US dollars, by model, quality and size", ()
    )
    models: tuple[ModelFile, ...] = _setting("models", MODELS, "the model files that doit models:pull downloads", ())
    hf_endpoint: str = _setting("hf_endpoint", ENDPOINT, "Hugging Face, or a mirror of it", HUGGING_FACE, "HF_ENDPOINT")
    forced_backend: str | None = None
    """Given on the command line, and so stronger than a job's own; the same for the checkpoint."""
    forced_checkpoint: str | None = None
    set_by: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """What gave each value, by the setting's name; it decides nothing."""


_SECRETS = (
    Setting("comfyui.auth", TEXT, "the Authorization header for the ComfyUI server", "", "COMFYUI_AUTH", "", True),
    Setting(
        "comfyui.account_key",
        TEXT,
        "the key of your account at Comfy.org, for workflows with partner nodes",
        "",
        "COMFY_API_KEY",
        "",
        True,
    ),
    Setting(
        "a1111.auth", TEXT, "user:password for the A1111 server, as its --api-auth has it", "", "A1111_AUTH", "", True
    ),
    Setting(
        "openai.api_key",
        TEXT,
        "the key for OpenAI, or for the server of OPENAI_BASE_URL",
        "",
        "OPENAI_API_KEY",
        "",
        True,
    ),
    Setting("hf_token", TEXT, "access to Hugging Face, for doit models:pull", "", "HF_TOKEN", "", True),
)
_FIELDS = {one.name: one.metadata["setting"] for one in fields(Settings) if one.metadata}
SETTINGS: tuple[Setting, ...] = (*_FIELDS.values(), *_SECRETS)
"""In the order in which they are shown."""


COMMAND_LINE = "command line"
"""What gives a setting that is stronger than a job file's."""
_PYPROJECT = "pyproject.toml: [tool.imagegen]"


@dataclass(frozen=True)
class Value:
    """The value of a setting, and what gave it; of a secret, only whether it is set."""

    setting: Setting
    value: Any
    set_by: str

    def __str__(self) -> str:
        """Return it in a few words, for a person."""
        if self.setting.secret:
            return "set" if self.value else "not set"
        return self.setting.kind.show(self.value) or "none"


def read_settings(root: Path, command_line: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    """Read the settings of a project.

    Args:
        root: the project's folder.
        command_line: the variables given there, by name.
        environment: the variables of the environment.

    Raises:
        ImagegenError: with every problem.
    """
    values, problems = collect_settings(root, command_line, environment)
    if problems:
        raise InputError(*problems)
    set_by = {value.setting.name: value.set_by for value in values}
    found = {value.setting.name: value.value for value in values}
    forced = {value.setting.name: value.value for value in values if value.set_by == COMMAND_LINE}
    return Settings(
        **{name: found[setting.name] for name, setting in _FIELDS.items()},
        forced_backend=forced.get("backend"),
        forced_checkpoint=forced.get("comfyui.checkpoint"),
        set_by=set_by,
    )


def collect_settings(
    root: Path, command_line: Mapping[str, str], environment: Mapping[str, str]
) -> tuple[list[Value], list[Problem]]:
    """Return the value of each setting, in the order of `SETTINGS`, and all problems; an invalid value is ignored."""
    problems: list[Problem] = []
    table = _read_table(root / "pyproject.toml", problems)
    problems += _find_misplaced(table)
    values = []
    for setting in SETTINGS:
        found = Value(setting, setting.built_in, "built-in")
        for set_by, label, given in reversed(list(_find_given(setting, command_line, environment, table))):
            try:
                value = setting.kind.read(given)
            except ValueError as error:
                problems += [
                    Problem(set_by, f"{label}{text}", _name_secret(setting) if text == NO_USER else "")
                    for text in error.args
                ]
            else:
                found = Value(setting, True if setting.secret else value, set_by)
        values.append(found)
    return values, [_locate(problem, root / "pyproject.toml") for problem in problems]


def _locate(problem: Problem, path: Path) -> Problem:
    """Return a problem with a key of `[tool.imagegen]` with the line of that key, if it has one of its own."""
    if problem.where != _PYPROJECT:
        return problem
    *tables, key = problem.what.partition(":")[0].split(".")
    header = re.escape("".join(f".{name}" for name in ("tool", "imagegen", *tables))[1:])
    own = rf"^[ \t]*\[{header}\][^\n]*\n(?:(?![ \t]*\[)[^\n]*\n)*?[ \t]*(?P<key>{re.escape(key)}[ \t]*=)"
    found = re.search(own, path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n"), re.MULTILINE)
    if not found:
        return problem
    before = found.string[: found.start("key")]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return Problem(f"pyproject.toml:{line}:{column}", problem.what, problem.hint)


def _name_secret(setting: Setting) -> str:
    """Return where the password goes that an address must not have; empty if there is no place for it."""
    section = setting.name.partition(".")[0]
    names = [one.environment for one in _SECRETS if one.name.partition(".")[0] == section]
    return f"take it out, and set the environment variable {names[0]}" if names else ""


def _find_given(
    setting: Setting, command_line: Mapping[str, str], environment: Mapping[str, str], table: Mapping[str, Any]
) -> Iterator[tuple[str, str, object]]:
    """Yield what gives the setting, strongest first: its name, what a problem begins with, and the value."""
    if text := command_line.get(setting.command_line):
        shown = text if setting.kind in (SECONDS, BOOLEAN, BUDGET, LIMIT) else "…"  # others may hold a password
        yield COMMAND_LINE, f"{setting.command_line}={shown}: ", text
    if text := environment.get(setting.environment):
        yield f"environment variable {setting.environment}", "", text
    if setting.name in table and not setting.secret:
        yield _PYPROJECT, f"{setting.name}: ", table[setting.name]


def _find_misplaced(table: Mapping[str, Any]) -> Iterator[Problem]:
    secrets = {setting.name: setting for setting in SETTINGS if setting.secret}
    names = [setting.name for setting in SETTINGS if not setting.secret]
    for key, value in table.items():
        if key in secrets:
            hint = f"take it out, and set the environment variable {secrets[key].environment}"
            yield Problem(_PYPROJECT, f"{key}: a secret must not be in a file that is committed", hint)
        elif key in _TABLES:
            yield Problem(_PYPROJECT, f"{key}: expected a table, found {value!r:.40}")
        elif key not in names:
            yield Problem(_PYPROJECT, f"{key}: unknown key{did_you_mean(key, names)}")


_TABLES = {name.rpartition(".")[0] for setting in SETTINGS if "." in (name := setting.name)}


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the keys of the nested tables that settings are in, each as `table.key`."""
    for key, value in table.items():
        if prefix + key in _TABLES and isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _read_table(path: Path, problems: list[Problem]) -> Mapping[str, Any]:
    try:
        data = path.read_bytes()
    except OSError:
        return {}
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        tools = tomllib.loads(data.decode("utf-8")).get("tool", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(explain_toml(data, error))
        return {}
    problems += map(_explain_near_miss, filter(_is_near_miss, tools))
    table = tools.get("imagegen", {})
    if not isinstance(table, dict):
        problems.append(Problem(_PYPROJECT, "expected a table"))
        return {}
    return dict(_flatten(table))


def _is_near_miss(name: str) -> bool:
    """Return whether a table in [tool] is probably meant to be imagegen's, and misspelt."""
    import difflib

    return name != "imagegen" and difflib.SequenceMatcher(None, name.lower(), "imagegen").ratio() > _NEAR


_NEAR = 0.85
"""Likeness of names, up to 1: `imagen` is as near as that, and `imagegen-tools` is not."""


def _explain_near_miss(name: str) -> Problem:
    return Problem(f"pyproject.toml: [tool.{name}]", "nothing reads this table", "did you mean [tool.imagegen]?")


def explain_toml(data: bytes, error: Exception) -> Problem:
    """Return the problem of a pyproject.toml with this content, which could not be read because of this error."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as wrong:
        where = f"pyproject.toml:{data[: wrong.start].count(10) + 1}"
        return Problem(where, f"not UTF-8: byte {data[wrong.start]:#04x}", "save it as UTF-8")
    if conflict := find_merge_conflict("pyproject.toml", text):
        return conflict
    said = " ".join(str(error).split())
    if not isinstance(error, ValueError):
        what = f"[tool.doit] is not as doit expects it: {type(error).__name__}: {said}"
        return Problem("pyproject.toml", what, "correct it")
    found = re.search(_TOML_POSITION, said)
    where = f":{found[1]}:{found[2]}" if found else ""
    what = said[: found.start()].rstrip() if found else said
    return Problem(f"pyproject.toml{where}", *_explain_syntax(what))


def _explain_syntax(said: str) -> tuple[str, str]:
    """Return what is wrong with a file that is not valid TOML, and what to do. said: by the parser."""
    if said.startswith("Cannot overwrite a value"):
        return "not valid TOML: this key is set twice", "remove one of the two lines"
    path = re.findall("'([^']*)'", said)
    if not (path and said.startswith(_TOML_TWICE)):
        return f"not valid TOML: {said}", "correct the file"
    name, above = ".".join(path), ".".join(path[:-1])
    dotted = f", or as {path[-1]}.KEY below [{above}]" if len(path) > 2 else ""
    return f"not valid TOML: [{name}] is declared twice", f"write all its keys in one place: below [{name}]{dotted}"


_TOML_TWICE = ("Cannot declare (", "Cannot redefine namespace (", "Cannot mutate immutable namespace (")
_TOML_POSITION = r"\(at line (\d+), column (\d+)\)"
