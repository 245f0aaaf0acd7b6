"""What values the settings take: how each kind is read, and how it is shown."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from imagegen.config.models import check_download_url, list_models, read_models

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = [
    "ADDRESS",
    "ARCHIVE",
    "BOOLEAN",
    "BUDGET",
    "CLUSTER",
    "DIALECT",
    "DIALECTS",
    "ENDPOINT",
    "FOLDERS",
    "FOLDER_TABLE",
    "LIMIT",
    "MODELS",
    "NO_USER",
    "PATH",
    "PRICES",
    "SD_DEVICE",
    "SD_DEVICES",
    "SECONDS",
    "SHA256",
    "SIZE",
    "START",
    "STORE",
    "TEXT",
    "TEXTS",
    "TORCH",
    "TORCH_BUILDS",
    "URL",
    "URLS",
    "VERSION",
    "DialectName",
    "SettingType",
    "StoreUrl",
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


def _parse_text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("expected text")
    return value


def _parse_address(value: object) -> str:
    if "@" in _parse_text(value):
        raise ValueError(NO_USER)
    return str(value)


NO_USER = "expected an address without a user or password in it"


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


def _parse_limit(value: object) -> int | None:
    if value == "none":
        return None
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if not re.fullmatch(r"0*[1-9]\d{0,8}", text, re.ASCII):
        raise ValueError(f"expected none or a whole number from 1, found {value!r}")
    return int(text)


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
LIMIT = SettingType("whole number, or none", _parse_limit, lambda value: str(value or ""))
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
