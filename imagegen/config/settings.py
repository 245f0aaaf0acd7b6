"""The project's settings. Strongest first: command line, (job file,) environment, pyproject.toml, built-in."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from imagegen.config.document import find_merge_conflict
from imagegen.config.models import HUGGING_FACE, ModelFile, check_download_url, list_models, read_models
from imagegen.errors import ImagegenError, Problem, did_you_mean

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = [
    "COMMAND_LINE",
    "DIALECTS",
    "SD_DEVICES",
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
_HOSTS = {
    "s3": re.compile(r"[a-z0-9][a-z0-9.-]+"),
    "ssh": re.compile(r"(?:(?P<user>[\w.-]+)@)?(?P<host>[A-Za-z0-9][\w.-]*|\[[0-9a-fA-F:.]+\])(?::(?P<port>\d{1,5}))?"),
    "file": re.compile(""),
}
"""Between `//` and the next `/`."""
_FORBIDDEN = r"[\x00-\x1f\x7f?#*\[\]]|::|\s\Z"
"""What a folder must not have: what no path should have, and what fsspec takes for more than a path."""


@dataclass(frozen=True)
class StoreUrl:
    """The address of a shared store, taken apart. It never holds a password."""

    protocol: Literal["s3", "ssh", "file"]
    folder: str  # without slashes at its ends; empty with s3 only
    bucket: str = ""  # of s3
    user: str = ""  # of ssh, like host and port
    host: str = ""
    port: int = 22


def read_store_url(text: str) -> StoreUrl:
    """Take an address apart. Raises ValueError with what is expected; it repeats no text that may hold a password."""
    protocol, _, rest = text.partition("://")
    host, _, folder = rest.partition("/")
    if ":" in host.rpartition("@")[0]:
        hint = "; " + _PASSWORDS[protocol] if protocol in _PASSWORDS else ""
        raise ValueError(f"expected an address without a password in it{hint}")
    match = _HOSTS[protocol].fullmatch(host) if protocol in _HOSTS else None
    folder = folder.strip("/")
    if match is None or re.search(_FORBIDDEN, folder) or not (folder or protocol == "s3"):
        raise ValueError(_EXPECTED)
    if protocol == "s3":
        return StoreUrl("s3", folder, bucket=host)
    if protocol == "file":
        return StoreUrl("file", folder)
    port = int(match["port"] or 22)
    if port > 65_535:
        raise ValueError(_EXPECTED)
    return StoreUrl("ssh", folder, user=match["user"] or "", host=match["host"].strip("[]"), port=port)


_PASSWORDS = {
    "s3": "the keys come from where AWS's own tools find them: AWS_PROFILE, AWS_ACCESS_KEY_ID, ~/.aws",
    "ssh": "use a key, ssh-agent, or the environment variable FSSPEC_SSH_PASSWORD",
}


def redact_user(text: str) -> str:
    """Replace the user and the password of each address in a text by …."""
    return re.sub(r"//(?:\S*|[^/]*)@", "//…@", text)


@dataclass(frozen=True)
class SettingType:
    """What values a setting takes."""

    words: str  # for the documentation
    read: Callable[[object], Any]
    """Makes a value of what TOML or a text holds. Raises ValueError: each of its arguments is one problem, which says
    what is expected and never repeats what may be a secret."""
    show: Callable[[Any], str] = str


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


def _parse_text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("expected text")
    return value


def _parse_address(value: object) -> str:
    if "@" in _parse_text(value):
        raise ValueError(_NO_USER)
    return str(value)


_NO_USER = "expected an address without a user or password in it"


def _parse_url(value: object) -> str:
    match = re.fullmatch(_URL, _parse_address(value))
    if match is None or int(match["port"] or 0) > 65_535:
        raise ValueError("expected an address such as 'http://HOST:PORT' or 'https://HOST/v1'")
    return str(value).rstrip("/")


def _parse_path(value: object) -> str:
    return os.path.expanduser(_parse_text(value))  # noqa: PTH111 - it may be no Path yet


def _parse_urls(value: object) -> tuple[str, ...]:
    """Read a list, or a text with commas between the addresses; each counts once."""
    found = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(found, list) or not found:
        raise ValueError("expected an address, or a list of addresses")
    return tuple(dict.fromkeys(map(_parse_url, found)))


def _parse_folders(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(folder, str) and folder for folder in value):
        raise ValueError("expected a list of folders")
    return tuple(os.path.expanduser(folder) for folder in value)  # noqa: PTH111 - it may be no Path yet


def _parse_texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise ValueError("expected a list of texts")
    return tuple(value)


def _parse_folder_table(value: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if not isinstance(value, dict):
        raise ValueError('expected folders by kind of model, such as {checkpoints = "~/models/sd"}')
    return tuple((kind, _parse_folders([found] if isinstance(found, str) else found)) for kind, found in value.items())


def _show_folder_table(value: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    return ", ".join(f"{kind}: {folder}" for kind, folders in value for folder in folders)


def _one_of(*choices: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return str(value)

    return read


def _parse_version(value: object) -> str:
    if not re.fullmatch(r"\d+\.\d+\.\d+(?:-[A-Za-z0-9.]+)?", _parse_text(value)):
        raise ValueError("expected a version such as '0.32.5'")
    return str(value)


def _parse_sha256(value: object) -> str:
    if not re.fullmatch("[0-9a-fA-F]{64}", _parse_text(value)):
        raise ValueError(f"expected 64 hexadecimal digits, found {len(str(value))} characters")
    return str(value).lower()


def _parse_archive(value: object) -> str:
    text = _parse_text(value)
    return check_download_url(text) if "://" in text else os.path.expanduser(text)  # noqa: PTH111 - it may be no Path yet


def _parse_store(value: object) -> str:
    if value == "none":
        return ""
    text = value if isinstance(value, str) else ""
    read_store_url(text)
    return text.rstrip("/")


def _parse_cluster(value: object) -> str:
    if value == "none":
        return ""
    match = re.fullmatch(_SCHEDULER, _parse_address(value))
    if match is None or int(match["port"]) > 65_535:
        raise ValueError("expected the address of a Dask scheduler such as 'tcp://10.0.0.5:8786', or none")
    return str(value)


def _parse_boolean(value: object) -> bool:
    truths = {"true": True, "false": False}
    found = truths.get(value) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise ValueError(f"expected true or false, found {value!r:.40}")
    return found


def _show_boolean(value: bool) -> str:
    return "true" if value else "false"


def _parse_endpoint(value: object) -> str:
    return check_download_url(value).rstrip("/")


# not compiled here: a run with nothing to do does without
_URL = r"https?://(?:\[[0-9a-fA-F:.]+\]|[^/\s?#:\[\]]+)(?::(?P<port>\d{1,5}))?(?:/[^\s?#]*)?"
_SCHEDULER = r"(?:tcp|tls)://(?:\[[0-9a-fA-F:.]+\]|[^/\s?#:\[\]]+):(?P<port>\d{1,5})"
_UNITS = {"MB": 1024**2, "GB": 1024**3, "TB": 1024**4}


def _parse_size(value: object) -> int:
    match = re.fullmatch(rf"(\d+(?:\.\d+)?) ?({'|'.join(_UNITS)})", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a size such as '5 GB'")
    return int(float(match[1]) * _UNITS[match[2]])


def _show_size(value: int) -> str:
    unit = max((unit for unit in _UNITS if value >= _UNITS[unit]), key=_UNITS.__getitem__, default="MB")
    return f"{value / _UNITS[unit]:g} {unit}"


def _parse_prices(value: object) -> tuple[tuple[str, Decimal], ...]:
    from decimal import Decimal  # a run with nothing to do mostly does without

    from imagegen.config.money import split_entry

    if not isinstance(value, dict):
        raise ValueError('expected dollars by model, such as {"gpt-image-1" = 0.042, "gpt-image-1 high" = 0.167}')
    first: dict[frozenset[str], str] = {}
    wrong = []
    for name, price in value.items():
        same = first.setdefault(split_entry(name), name)
        if not name.split():
            wrong.append(f"{name!r}: expected a model's name")
        elif not _is_price(price):
            wrong.append(f"{name}: expected dollars such as 0.042")
        elif same != name:
            wrong.append(f"{name}: is the same entry as {same}")
    if wrong:
        raise ValueError(*wrong)
    return tuple((" ".join(name.split()), Decimal(str(price))) for name, price in value.items())


def _is_price(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 10_000


def _show_prices(value: tuple[tuple[str, Decimal], ...]) -> str:
    return ", ".join(f"{name}: ${price}" for name, price in value)


def _parse_seconds(value: object) -> float:
    try:
        number = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else -1
    except ValueError:
        number = -1
    if not 0 <= number < 1e6:
        raise ValueError("expected a number of seconds")
    return number


def _parse_budget(value: object) -> Decimal | None:
    from imagegen.config.money import read_dollars

    try:
        return None if value == "none" else read_dollars(value)
    except ValueError as error:
        raise ValueError(f"{error}, or none") from None


def _show_budget(value: Decimal | None) -> str:
    from imagegen.config.money import dollars

    return "" if value is None else dollars(value)


TEXT = SettingType("text", _parse_text)
ADDRESS = SettingType("address", _parse_address)
PATH = SettingType("file", _parse_path)
URL = SettingType("URL", _parse_url)
URLS = SettingType("URL, or several", _parse_urls, ", ".join)
FOLDERS = SettingType("list of folders", _parse_folders, ", ".join)
SIZE = SettingType("size in MB, GB or TB", _parse_size, _show_size)
STORE = SettingType("URL or none", _parse_store)
CLUSTER = SettingType("tcp:// or tls:// address, or none", _parse_cluster)
BUDGET = SettingType("US dollars, or none", _parse_budget, _show_budget)
BOOLEAN = SettingType("true or false", _parse_boolean, _show_boolean)
SECONDS = SettingType("seconds", _parse_seconds, "{:g}".format)
TEXTS = SettingType("list of texts", _parse_texts, " ".join)
FOLDER_TABLE = SettingType("folders by kind of model", _parse_folder_table, _show_folder_table)
MODELS = SettingType("a table for each", read_models, list_models)
ENDPOINT = SettingType("URL", _parse_endpoint)
VERSION = SettingType("version", _parse_version)
SHA256 = SettingType("sha256", _parse_sha256)
ARCHIVE = SettingType("URL or file", _parse_archive)
START = SettingType("auto or never", _one_of("auto", "never"))
SD_DEVICES = ("auto", "cpu", "vulkan", "metal", "rocm", "cuda")
SD_DEVICE = SettingType("auto, cpu, vulkan, metal, rocm or cuda", _one_of(*SD_DEVICES))
DialectName = Literal["", "vllm", "sglang", "lemonade", "localai", "sdcpp", "hosted"]
DIALECTS: tuple[str, ...] = get_args(DialectName)[1:]
DIALECT = SettingType(f"{', '.join(DIALECTS[:-1])} or {DIALECTS[-1]}", _one_of(*DIALECTS))
PRICES = SettingType("prices by model", _parse_prices, _show_prices)
TORCH_BUILDS = ("auto", "cuda", "rocm", "mps", "cpu", "none")
TORCH = SettingType("auto, cuda, rocm, mps, cpu or none", _one_of(*TORCH_BUILDS))


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
        "size limit of .imagegen/store; beyond it, the least recently used images are removed",
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
        raise ImagegenError(*problems)
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
                    Problem(set_by, f"{label}{text}", _name_secret(setting) if text == _NO_USER else "")
                    for text in error.args
                ]
            else:
                found = Value(setting, True if setting.secret else value, set_by)
        values.append(found)
    return values, problems


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
        yield COMMAND_LINE, f"{setting.command_line}=…: ", text  # not the text: it may hold a password
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
