"""The project's settings. Strongest first: command line, (job file,) environment, pyproject.toml, built-in."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagegen.config.document import find_merge_conflict
from imagegen.config.models import HUGGING_FACE, ModelFile, check_download_url, list_models, read_models
from imagegen.errors import ImagegenError, Problem, did_you_mean

__all__ = [
    "COMMAND_LINE",
    "SETTINGS",
    "TORCH_BUILDS",
    "Setting",
    "SettingType",
    "Settings",
    "StoreUrl",
    "Value",
    "collect_settings",
    "explain_toml",
    "read_settings",
    "read_store_url",
    "redact_user",
]


_EXPECTED = "expected s3://bucket/folder, ssh://host/folder, file:///mnt/team/folder or none"
_PLACES = {
    "s3": re.compile(r"[a-z0-9][a-z0-9.-]+"),
    "ssh": re.compile(r"(?:(?P<user>[\w.-]+)@)?(?P<host>[A-Za-z0-9][\w.-]*|\[[0-9a-fA-F:.]+\])(?::(?P<port>\d{1,5}))?"),
    "file": re.compile(""),
}
"""Between `//` and the next `/`."""
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f?#*\[\]]|::|\s\Z")
"""In a folder: what no path should have, and what fsspec takes for more than a path."""


@dataclass(frozen=True)
class StoreUrl:
    """protocol: s3, ssh or file. bucket: of s3. user, host, port: of ssh; empty and 22 where they are not given.

    folder: without slashes at its ends; empty in s3 alone.
    """

    protocol: str
    folder: str
    bucket: str = ""
    user: str = ""
    host: str = ""
    port: int = 22


def read_store_url(text: str) -> StoreUrl:
    """Raises ValueError with what is expected; it repeats nothing of the text, which may hold a password."""
    protocol, _, rest = text.partition("://")
    place, _, folder = rest.partition("/")
    if ":" in place.rpartition("@")[0]:
        hint = "; " + _PASSWORDS[protocol] if protocol in _PASSWORDS else ""
        raise ValueError(f"expected an address without a password in it{hint}")
    match = _PLACES[protocol].fullmatch(place) if protocol in _PLACES else None
    folder = folder.strip("/")
    if match is None or _FORBIDDEN.search(folder) or not (folder or protocol == "s3"):
        raise ValueError(_EXPECTED)
    if protocol == "s3":
        return StoreUrl(protocol, folder, bucket=place)
    if protocol == "file":
        return StoreUrl(protocol, folder)
    if int(match["port"] or 22) > 65_535:
        raise ValueError(_EXPECTED)
    host = match["host"].strip("[]")
    return StoreUrl(protocol, folder, user=match["user"] or "", host=host, port=int(match["port"] or 22))


_PASSWORDS = {
    "s3": "the keys come from where AWS's own tools find them: AWS_PROFILE, AWS_ACCESS_KEY_ID, ~/.aws",
    "ssh": "use a key, ssh-agent, or the environment variable FSSPEC_SSH_PASSWORD",
}


def redact_user(text: str) -> str:
    """The text, with … for the user and the password of an address in it."""
    return re.sub(r"//(?:\S*|[^/]*)@", "//…@", text)


@dataclass(frozen=True)
class SettingType:
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
    kind: SettingType
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
    return check_download_url(text) if "://" in text else os.path.expanduser(text)  # noqa: PTH111 - it may be no Path yet


def _store(value: object) -> str:
    if value == "none":
        return ""
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
    return check_download_url(value).rstrip("/")


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


TEXT = SettingType("text", _text)
ADDRESS = SettingType("address", _address)
URLS = SettingType("URL, or several", _urls, ", ".join)
FOLDERS = SettingType("list of folders", _folders, ", ".join)
SIZE = SettingType("size in MB, GB or TB", _size, _show_size)
STORE = SettingType("URL or none", _store)
CLUSTER = SettingType("tcp:// or tls:// address, or none", _cluster)
TRUTH = SettingType("true or false", _truth, _show_truth)
SECONDS = SettingType("seconds", _seconds, "{:g}".format)
TEXTS = SettingType("list of texts", _texts, " ".join)
FOLDER_TABLE = SettingType("folders by kind of model", _folder_table, _show_folder_table)
MODELS = SettingType("a table for each", read_models, list_models)
ENDPOINT = SettingType("URL", _endpoint)
VERSION = SettingType("version", _version)
SHA256 = SettingType("sha256", _sha256)
ARCHIVE = SettingType("URL or file", _archive)
START = SettingType("auto or never", _one_of("auto", "never"))
TORCH_BUILDS = ("auto", "cuda", "rocm", "mps", "cpu", "none")
TORCH = SettingType("auto, cuda, rocm, mps, cpu or none", _one_of(*TORCH_BUILDS))

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


COMMAND_LINE = "command line"
"""The source that is stronger than a job file."""
_PYPROJECT = "pyproject.toml: [tool.imagegen]"


@dataclass(frozen=True)
class Settings:
    """What holds for the whole project.

    forced_backend, forced_checkpoint: of the command line, stronger than a job's own. backend: for jobs that name none.
    cluster: the address of a Dask scheduler whose workers draw, empty for none.
    allow_outside: folders outside the project that outputs and prompt sources may lie in.
    store_bytes: bound of the store. store: the address of the shared one, empty for none; store_writes: whether what is
    made goes up to it. wait_s: seconds to wait for another build. The others: see the table in
    `config.setting`. Secrets are not kept here.
    set_by: what gave each value, by the setting's name; it decides nothing.
    """

    forced_backend: str | None = None
    forced_checkpoint: str | None = None
    backend: str = "placeholder"
    cluster: str = ""
    allow_outside: tuple[str, ...] = ()
    store_bytes: int = 5 * 1024**3
    store: str = ""
    store_writes: bool = True
    wait_s: float = 0.0
    comfyui_server_urls: tuple[str, ...] = ("http://127.0.0.1:8188",)
    comfyui_server_start: str = "auto"
    comfyui_server_ready_timeout_s: float = 180.0
    comfyui_server_arguments: tuple[str, ...] = ()
    comfyui_checkpoint: str = ""
    comfyui_checkpoint_dirs: tuple[str, ...] = ()
    comfyui_model_paths: tuple[tuple[str, tuple[str, ...]], ...] = ()
    comfyui_repository: str = "https://github.com/Comfy-Org/ComfyUI"
    comfyui_revision: str = "v0.33.0"
    comfyui_python: str = ""
    comfyui_torch: str = "auto"
    comfyui_torch_index: str = ""
    ollama_host: str = "127.0.0.1:11434"
    ollama_version: str = "0.32.5"
    ollama_archive_sha256: str = "5789dd037a86adb328c72c11fc45e6c558452d07e5b50814a8bdb7b0fbdbcd81"
    ollama_archive: str = ""
    models: tuple[ModelFile, ...] = ()
    hf_endpoint: str = HUGGING_FACE
    set_by: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Value:
    """What a setting is, and where that came from; of a secret, only whether it is set."""

    setting: Setting
    value: Any
    set_by: str

    def __str__(self) -> str:
        """For a person to read, in a few words."""
        if self.setting.secret:
            return "set" if self.value else "not set"
        return self.setting.kind.show(self.value) or "none"


def read_settings(root: Path, command_line: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    """The settings of the project at `root`.

    command_line: by the names of the table's command-line variables. Raises ImagegenError with all that is wrong.
    """
    values, problems = collect_settings(root, command_line, environment)
    if problems:
        raise ImagegenError(*problems)
    set_by = {value.setting.name: value.set_by for value in values}
    fields = {
        value.setting.field or value.setting.name.replace(".", "_"): value.value
        for value in values
        if not value.setting.secret
    }
    forced = {value.setting.name: value.value for value in values if value.set_by == COMMAND_LINE}
    return Settings(
        **fields,
        forced_backend=forced.get("backend"),
        forced_checkpoint=forced.get("comfyui.checkpoint"),
        set_by=set_by,
    )


def collect_settings(
    root: Path, command_line: Mapping[str, str], environment: Mapping[str, str]
) -> tuple[list[Value], list[Problem]]:
    """The value of each setting, in the order of the table, and all that is wrong; what is wrong does not count."""
    problems: list[Problem] = []
    table = _table(root / "pyproject.toml", problems)
    problems += _misplaced(table)
    values = []
    for setting in SETTINGS:
        found = Value(setting, setting.built_in, "built-in")
        for source, label, given in reversed(list(_given(setting, command_line, environment, table))):
            try:
                value = setting.kind.read(given)
            except ValueError as error:
                problems += [Problem(source, f"{label}{text}") for text in error.args]
            else:
                found = Value(setting, True if setting.secret else value, source)
        values.append(found)
    return values, problems


def _given(
    setting: Setting, command_line: Mapping[str, str], environment: Mapping[str, str], table: Mapping[str, Any]
) -> Iterator[tuple[str, str, object]]:
    """Each source that gives the setting, strongest first: its name, what a problem begins with, and the value."""
    if text := command_line.get(setting.command_line):
        yield COMMAND_LINE, f"{setting.command_line}=…: ", text  # not the text: it may hold a password
    if text := environment.get(setting.environment):
        yield f"environment variable {setting.environment}", "", text
    if setting.name in table and not setting.secret:
        yield _PYPROJECT, f"{setting.name}: ", table[setting.name]


def _misplaced(table: Mapping[str, Any]) -> Iterator[Problem]:
    secrets = {setting.name: setting for setting in SETTINGS if setting.secret}
    names = [setting.name for setting in SETTINGS if not setting.secret]
    for key, value in table.items():
        if key in secrets:
            hint = f"take it out, and set the environment variable {secrets[key].environment}"
            yield Problem(_PYPROJECT, f"{key}: a secret has no place in a file that is committed", hint)
        elif key in _TABLES:
            yield Problem(_PYPROJECT, f"{key}: expected a table, found {value!r:.40}")
        elif key not in names:
            yield Problem(_PYPROJECT, f"{key}: unknown key{did_you_mean(key, names)}")


_TABLES = {name.rpartition(".")[0] for setting in SETTINGS if "." in (name := setting.name)}


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The keys of the nested tables that settings are in, each as `table.key`."""
    for key, value in table.items():
        if prefix + key in _TABLES and isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _table(path: Path, problems: list[Problem]) -> Mapping[str, Any]:
    try:
        data = path.read_bytes()
    except OSError:
        return {}
    if b"imagegen" not in data:
        return {}
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        table = tomllib.loads(data.decode("utf-8")).get("tool", {}).get("imagegen", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(explain_toml(data, error))
        return {}
    if not isinstance(table, dict):
        problems.append(Problem(_PYPROJECT, "expected a table"))
        return {}
    return dict(_flat(table))


def explain_toml(data: bytes, error: Exception) -> Problem:
    """Return what is wrong with a pyproject.toml of this content, which could not be read because of this error."""
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
    place = _TOML_PLACE.search(said)
    where = f":{place[1]}:{place[2]}" if place else ""
    what = said[: place.start()].rstrip() if place else said
    return Problem(f"pyproject.toml{where}", f"not valid TOML: {what}", "correct the file")


_TOML_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")
