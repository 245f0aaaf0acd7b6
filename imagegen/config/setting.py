"""The one table of the project's settings: what each is called, where it can be given, and what it means."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from imagegen.config.models import HUGGING_FACE, download_address, read_models, show_models

__all__ = ["SETTINGS", "TORCH_BUILDS", "Kind", "Setting"]


@dataclass(frozen=True)
class Kind:
    """What values a setting takes.

    words: for the documentation. read: makes a value of what TOML or a text holds; raises ValueError, each of whose
    arguments is one thing that is wrong, with what is expected; of what may hold a secret, it never repeats any.
    show: the value for a person.
    """

    words: str
    read: Callable[[object], Any]
    show: Callable[[Any], str] = str


@dataclass(frozen=True)
class Setting:
    """One setting.

    name: in `[tool.imagegen]` of pyproject.toml, a dot for a table within it. help: one line. environment,
    command_line: the variables that can give it, empty where none can. built_in: its value where nobody gives one.
    field: of `Settings`, where that is not its name with _ for each dot. secret: only the environment may give it,
    and nothing shows, keeps or hands on its value here.
    """

    name: str
    kind: Kind
    help: str
    built_in: Any = ""
    environment: str = ""
    command_line: str = ""
    field: str = ""
    secret: bool = False


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("expected text")
    return value


def _address(value: object) -> str:
    if "@" in _text(value):
        raise ValueError("expected an address without a user or password in it")
    return str(value)


def _url(value: object) -> str:
    match = _URL.fullmatch(_address(value))
    if match is None or int(match["port"] or 0) > 65_535:
        raise ValueError("expected an address such as 'http://127.0.0.1:8188'")
    return str(value).rstrip("/")


def _urls(value: object) -> tuple[str, ...]:
    """Of a list, or of a text with commas between them, or after them too; each once."""
    found = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(found, list) or not found:
        raise ValueError("expected an address, or a list of addresses")
    return tuple(dict.fromkeys(map(_url, found)))


def _folders(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(folder, str) and folder for folder in value):
        raise ValueError("expected a list of folders")
    return tuple(os.path.expanduser(folder) for folder in value)  # noqa: PTH111 - it may be no Path yet


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise ValueError("expected a list of texts")
    return tuple(value)


def _folder_table(value: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if not isinstance(value, dict):
        raise ValueError('expected folders by kind of model, such as {checkpoints = "~/models/sd"}')
    return tuple((kind, _folders([found] if isinstance(found, str) else found)) for kind, found in value.items())


def _show_folder_table(value: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    return ", ".join(f"{kind}: {folder}" for kind, folders in value for folder in folders)


def _one_of(*choices: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return str(value)

    return read


def _version(value: object) -> str:
    if not re.fullmatch(r"\d+\.\d+\.\d+(?:-[A-Za-z0-9.]+)?", _text(value)):
        raise ValueError("expected a version such as '0.32.5'")
    return str(value)


def _sha256(value: object) -> str:
    if not re.fullmatch("[0-9a-fA-F]{64}", _text(value)):
        raise ValueError(f"expected 64 hexadecimal digits, found {len(str(value))} characters")
    return str(value).lower()


def _archive(value: object) -> str:
    text = _text(value)
    return download_address(text) if "://" in text else os.path.expanduser(text)  # noqa: PTH111 - it may be no Path yet


def _store(value: object) -> str:
    if value == "none":
        return ""
    from imagegen.config.store_url import read_store_url

    text = value if isinstance(value, str) else ""
    read_store_url(text)
    return text.rstrip("/")


def _cluster(value: object) -> str:
    if value == "none":
        return ""
    match = _SCHEDULER.fullmatch(_address(value))
    if match is None or int(match["port"]) > 65_535:
        raise ValueError("expected the address of a Dask scheduler such as 'tcp://10.0.0.5:8786', or none")
    return str(value)


def _truth(value: object) -> bool:
    truths = {"true": True, "false": False}
    found = truths.get(value) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise ValueError(f"expected true or false, found {value!r:.40}")
    return found


def _show_truth(value: bool) -> str:
    return "true" if value else "false"


def _endpoint(value: object) -> str:
    return download_address(value).rstrip("/")


_URL = re.compile(r"https?://(?:\[[0-9a-fA-F:.]+\]|[^/\s?#:\[\]]+)(?::(?P<port>\d{1,5}))?(?:/[^\s?#]*)?")
_SCHEDULER = re.compile(r"(?:tcp|tls)://(?:\[[0-9a-fA-F:.]+\]|[^/\s?#:\[\]]+):(?P<port>\d{1,5})")
_UNITS = {"MB": 1024**2, "GB": 1024**3, "TB": 1024**4}


def _size(value: object) -> int:
    match = re.fullmatch(rf"(\d+(?:\.\d+)?) ?({'|'.join(_UNITS)})", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a size such as '5 GB'")
    return int(float(match[1]) * _UNITS[match[2]])


def _show_size(value: int) -> str:
    unit = max((unit for unit in _UNITS if value >= _UNITS[unit]), key=_UNITS.__getitem__, default="MB")
    return f"{value / _UNITS[unit]:g} {unit}"


def _seconds(value: object) -> float:
    try:
        number = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else -1
    except ValueError:
        number = -1
    if not 0 <= number < 1e6:
        raise ValueError("expected a number of seconds")
    return number


TEXT = Kind("text", _text)
ADDRESS = Kind("address", _address)
URLS = Kind("URL, or several", _urls, ", ".join)
FOLDERS = Kind("list of folders", _folders, ", ".join)
SIZE = Kind("size in MB, GB or TB", _size, _show_size)
STORE = Kind("URL or none", _store)
CLUSTER = Kind("tcp:// or tls:// address, or none", _cluster)
TRUTH = Kind("true or false", _truth, _show_truth)
SECONDS = Kind("seconds", _seconds, "{:g}".format)
TEXTS = Kind("list of texts", _texts, " ".join)
FOLDER_TABLE = Kind("folders by kind of model", _folder_table, _show_folder_table)
MODELS = Kind("a table for each", read_models, show_models)
ENDPOINT = Kind("URL", _endpoint)
VERSION = Kind("version", _version)
SHA256 = Kind("sha256", _sha256)
ARCHIVE = Kind("URL or file", _archive)
START = Kind("auto or never", _one_of("auto", "never"))
TORCH_BUILDS = ("auto", "cuda", "rocm", "mps", "cpu", "none")
TORCH = Kind("auto, cuda, rocm, mps, cpu or none", _one_of(*TORCH_BUILDS))

SETTINGS = (
    Setting("backend", TEXT, "draws the images of jobs that name none", "placeholder", "IMAGEGEN_BACKEND", "backend"),
    Setting(
        "cluster",
        CLUSTER,
        "a Dask cluster whose workers draw the images: its scheduler",
        "",
        "IMAGEGEN_CLUSTER",
        "cluster",
    ),
    Setting("allow_outside", FOLDERS, "folders outside the project that jobs may use", ()),
    Setting(
        "store_size",
        SIZE,
        "bound of .imagegen/store; past it, what was used longest ago goes",
        5 * 1024**3,
        field="store_bytes",
    ),
    Setting("store", STORE, "a store shared with others: s3, ssh or file", "", "IMAGEGEN_STORE", "store"),
    Setting(
        "store_writes",
        TRUTH,
        "whether what is made here goes up to the shared store",
        True,
        "IMAGEGEN_STORE_WRITES",
        "store_writes",
    ),
    Setting("wait_s", SECONDS, "seconds to wait for another build of this project", 0.0, command_line="wait"),
    Setting(
        "comfyui.server.url",
        URLS,
        "the ComfyUI server, or several: a list, or with commas between them",
        ("http://127.0.0.1:8188",),
        "COMFYUI_URL",
        field="comfyui_server_urls",
    ),
    Setting("comfyui.server.start", START, "whether a run starts a server on this machine where none answers", "auto"),
    Setting("comfyui.server.ready_timeout_s", SECONDS, "seconds that the server may take to start", 180.0),
    Setting("comfyui.server.arguments", TEXTS, "more arguments for ComfyUI's main.py, such as --lowvram", ()),
    Setting("comfyui.checkpoint", TEXT, "the checkpoint of jobs that name none", "", "COMFYUI_CKPT", "checkpoint"),
    Setting("comfyui.checkpoint_dirs", FOLDERS, "more folders with checkpoints, to look in while no server runs", ()),
    Setting(
        "comfyui.model_paths", FOLDER_TABLE, "folders of models that you have, for ComfyUI to use where they are", ()
    ),
    Setting(
        "comfyui.repository",
        TEXT,
        "what doit comfyui:setup clones",
        "https://github.com/Comfy-Org/ComfyUI",
    ),
    Setting("comfyui.revision", TEXT, "the pinned revision: a tag, branch or commit", "v0.33.0"),
    Setting("comfyui.python", TEXT, "the Python of ComfyUI's venv: a command or path; left out, the best one found"),
    Setting("comfyui.torch", TORCH, "the PyTorch build; auto: the one for this machine", "auto"),
    Setting("comfyui.torch_index", TEXT, "the package index with that PyTorch build, in place of PyTorch's own"),
    Setting(
        "comfyui.auth",
        TEXT,
        "the Authorization header for the ComfyUI server",
        environment="COMFYUI_AUTH",
        secret=True,
    ),
    Setting(
        "comfyui.account_key",
        TEXT,
        "the key of your account at Comfy.org, for workflows with partner nodes",
        environment="COMFY_API_KEY",
        secret=True,
    ),
    Setting("ollama.host", ADDRESS, "the Ollama server", "127.0.0.1:11434", "OLLAMA_HOST"),
    Setting("ollama.version", VERSION, "what doit ollama:setup installs", "0.32.5"),
    Setting(
        "ollama.archive_sha256",
        SHA256,
        "the sha256 of that version's archive",
        "5789dd037a86adb328c72c11fc45e6c558452d07e5b50814a8bdb7b0fbdbcd81",
    ),
    Setting("ollama.archive", ARCHIVE, "that archive; left out, ollama-darwin.tgz of Ollama's release on GitHub"),
    Setting("models", MODELS, "the model files that doit models:pull downloads", ()),
    Setting("hf_endpoint", ENDPOINT, "Hugging Face, or a mirror of it", HUGGING_FACE, "HF_ENDPOINT"),
    Setting("hf_token", TEXT, "access to Hugging Face, for doit models:pull", environment="HF_TOKEN", secret=True),
)
"""In the order in which they are shown."""
