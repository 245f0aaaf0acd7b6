from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from imagegen.config.setting_types import StoreUrl, read_store_url
from imagegen.config.settings import (
    SETTINGS,
    Setting,
    Settings,
    Value,
    collect_settings,
    read_settings,
)
from imagegen.errors import ImagegenError

__all__ = []


SCHEDULER = "expected the address of a Dask scheduler such as 'tcp://10.0.0.5:8786', or none"


def test_without_anything_the_built_in_values_hold(tmp_path: Path) -> None:
    settings = read_settings(tmp_path, {}, {})
    assert (settings.forced_backend, settings.backend) == (None, "placeholder")
    assert settings.store_bytes == 5 * 1024**3


def test_the_environment_is_stronger_than_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.imagegen]\nbackend = "comfyui"\nstore_size = "1.5 GB"\n')
    assert read_settings(tmp_path, {}, {}).backend == "comfyui"
    assert read_settings(tmp_path, {}, {"IMAGEGEN_BACKEND": "ollama"}).backend == "ollama"
    assert read_settings(tmp_path, {}, {}).store_bytes == int(1.5 * 1024**3)


def test_the_command_line_is_stronger_than_a_job(tmp_path: Path) -> None:
    settings = read_settings(tmp_path, {"backend": "ollama", "wait": "3"}, {"IMAGEGEN_BACKEND": "comfyui"})
    assert (settings.forced_backend, settings.wait_s) == ("ollama", 3.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bakend = 'x'", "bakend: unknown key; did you mean 'backend'?"),
        ("store_size = 5", "store_size: expected a size such as '5 GB'"),
        ("allow_outside = 'x'", "allow_outside: expected a list of folders"),
        ("wait_s = true", "wait_s: expected a number of seconds"),
        ("budget = -1", "budget: expected dollars, such as 5.00, or none"),
        ("budget = '5 dollars'", "budget: expected dollars, such as 5.00, or none"),
        ("backend = ''", "backend: expected text"),
        ("comfyui = 3", "comfyui: expected a table, found 3"),
        ("comfyui.server.ulr = 'x'", "comfyui.server.ulr: unknown key; did you mean 'comfyui.server.url'?"),
        ("comfyui.server.start = 'maybe'", "comfyui.server.start: expected one of auto, never"),
        ("ollama.version = 'latest'", "ollama.version: expected a version such as '0.32.5'"),
        ("ollama.archive_sha256 = 'ab'", "ollama.archive_sha256: expected 64 hexadecimal digits, found 2 characters"),
        (
            "ollama.archive = 'http://example.org/o.tgz'",
            "ollama.archive: expected an address that begins with https://, without a user or password in it",
        ),
        ("cluster = 'http://a:1'", f"cluster: {SCHEDULER}"),
        ("cluster = 'tcp://a'", f"cluster: {SCHEDULER}"),
        ("cluster = 'tcp://a:70000'", f"cluster: {SCHEDULER}"),
        ("cluster = 'tcp://me:secret@a:1'", "cluster: expected an address without a user or password in it"),
        ("openai.prices = {m = '1'}", "openai.prices: m: expected dollars such as 0.042"),
        ("openai.prices = {' ' = 1}", "openai.prices: ' ': expected a model's name"),
        (
            "openai.prices = {'m low 64x64' = 1, 'M  64×64 low' = 2}",
            "openai.prices: M  64×64 low: is the same entry as m low 64x64",
        ),
        (
            "openai.server.url = 'x'",
            "openai.server.url: expected an address such as 'http://HOST:PORT' or 'https://HOST/v1'",
        ),
        ("comfyui.model_paths = {loras = 3}", "comfyui.model_paths: expected a list of folders"),
    ],
)
def test_what_is_wrong_in_pyproject_is_told(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.imagegen]\n{text}\n")
    with pytest.raises(ImagegenError) as caught:
        read_settings(tmp_path, {}, {})
    assert [problem.what for problem in caught.value.problems] == [expected]


def test_a_budget_is_exact_and_can_be_lifted_for_one_run(tmp_path: Path) -> None:
    assert read_settings(tmp_path, {}, {}).budget is None
    (tmp_path / "pyproject.toml").write_text("[tool.imagegen]\nbudget = 0.30\n")
    (value,) = (one for one in collect_settings(tmp_path, {}, {})[0] if one.setting.name == "budget")
    assert (value.value, str(value)) == (Decimal("0.3"), "$0.30")
    assert read_settings(tmp_path, {"budget": "5.00"}, {}).budget == 5
    assert read_settings(tmp_path, {"budget": "0"}, {}).budget == 0
    assert read_settings(tmp_path, {"budget": "none"}, {}).budget is None


def test_a_pyproject_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.imagegen\n")
    with pytest.raises(ImagegenError, match=r"pyproject\.toml:1:15: not valid TOML"):
        read_settings(tmp_path, {}, {})


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        (
            "[tool.imagegen]\na1111.server.url = 'http://a'\n[tool.imagegen.a1111]\ncheckpoint = 'x'\n",
            "[tool.imagegen.a1111] is declared twice",
            "write all its keys in one place: below [tool.imagegen.a1111], or as a1111.KEY below [tool.imagegen]",
        ),
        (
            "[tool.imagegen.a1111]\ncheckpoint = 'x'\n[tool.imagegen]\na1111.server.url = 'http://a'\n",
            "[tool.imagegen.a1111] is declared twice",
            "write all its keys in one place: below [tool.imagegen.a1111], or as a1111.KEY below [tool.imagegen]",
        ),
        (
            "[tool.imagegen]\nbackend = 'sd'\n[tool.imagegen]\n",
            "[tool.imagegen] is declared twice",
            "write all its keys in one place: below [tool.imagegen]",
        ),
        ("[tool.imagegen]\nbackend = 'sd'\nbackend = 'sd'\n", "this key is set twice", "remove one of the two lines"),
    ],
    ids=["dotted first", "dotted last", "heading", "key"],
)
def test_a_table_or_key_that_stands_there_twice_is_named(tmp_path: Path, text: str, what: str, hint: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    _, (problem,) = collect_settings(tmp_path, {}, {})
    assert (problem.what, problem.hint) == (f"not valid TOML: {what}", hint)


@pytest.mark.parametrize("name", ["imagegn", "ImageGen", "image-gen", "imagegen2", "imgegen"])
def test_a_misspelt_table_is_not_ignored(tmp_path: Path, name: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.{name}]\nbackend = 'sd'\n")
    _, (problem,) = collect_settings(tmp_path, {}, {})
    assert (problem.where, problem.hint) == (f"pyproject.toml: [tool.{name}]", "did you mean [tool.imagegen]?")


@pytest.mark.parametrize("name", ["imagegen-tools", "isort", "images", "image", "doit"])
def test_a_table_of_another_tool_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.{name}]\nx = 1\n")
    assert collect_settings(tmp_path, {}, {})[1] == []


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("a1111.server.url", "A1111_AUTH"),
        ("openai.server.url", "OPENAI_API_KEY"),
        ("comfyui.server.url", "COMFYUI_AUTH"),
    ],
)
def test_an_address_with_a_password_is_refused_with_its_right_place(tmp_path: Path, name: str, variable: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.imagegen]\n{name} = 'http://me:secret@a'\n")
    _, (problem,) = collect_settings(tmp_path, {}, {})
    assert "secret" not in str(problem)
    assert problem.hint == f"take it out, and set the environment variable {variable}"


def test_a_wait_that_is_no_number_is_told(tmp_path: Path) -> None:
    with pytest.raises(ImagegenError, match="wait=soon: expected a number of seconds"):
        read_settings(tmp_path, {"wait": "soon"}, {})


def test_the_documentation_has_every_setting_as_the_table_has_it() -> None:
    lines = (Path(__file__).parents[2] / "docs/settings.md").read_text("utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    assert rows == [_documented(setting) for setting in SETTINGS]


def _documented(setting: Setting) -> str:
    cells = (
        f"`{setting.name}`",
        "secret" if setting.secret else setting.kind.words,
        str(Value(setting, setting.built_in, "built-in")),
        f"`{setting.command_line}=`" if setting.command_line else "",
        f"`{setting.environment}`" if setting.environment else "",
        setting.help,
    )
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"


def test_the_built_in_values_are_those_of_the_table(tmp_path: Path) -> None:
    assert read_settings(tmp_path, {}, {}) == Settings()


def test_each_value_says_where_it_came_from(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.imagegen]\nbackend = "comfyui"\nwait_s = 5\n[tool.imagegen.comfyui.server]\nurl = "http://a"'
    )
    environment = {"IMAGEGEN_BACKEND": "ollama", "COMFYUI_URL": "http://b/", "OLLAMA_HOST": ""}
    settings = read_settings(tmp_path, {"wait": "7"}, environment)
    assert (settings.backend, settings.wait_s, settings.comfyui_server_urls) == ("ollama", 7.0, ("http://b",))
    assert settings.set_by["backend"] == "environment variable IMAGEGEN_BACKEND"
    assert settings.set_by["wait_s"] == "command line"
    assert settings.set_by["ollama.host"] == "built-in"
    assert read_settings(tmp_path, {}, {}).set_by["backend"] == "pyproject.toml: [tool.imagegen]"


def test_where_a_value_came_from_decides_nothing(tmp_path: Path) -> None:
    one, other = read_settings(tmp_path, {}, {}), read_settings(tmp_path, {}, {"IMAGEGEN_BACKEND": "placeholder"})
    assert (one, repr(one)) == (other, repr(other))
    assert one.set_by != other.set_by


@pytest.mark.parametrize("name", ["backend", "checkpoint"])
def test_what_is_stronger_than_a_job_is_told_from_the_same_that_is_not(tmp_path: Path, name: str) -> None:
    """A snapshot of what was planned with one of them must not speak for the other."""
    key = {"backend": "backend", "checkpoint": "comfyui.checkpoint"}[name]
    (tmp_path / "pyproject.toml").write_text(f"[tool.imagegen]\n{key} = 'x'\n")
    one, other = read_settings(tmp_path, {}, {}), read_settings(tmp_path, {name: "x"}, {})
    assert one != other
    assert repr(one) != repr(other)


@pytest.mark.parametrize(
    ("table", "environment", "urls"),
    [
        ("['http://a', 'http://b:1/']", "", ("http://a", "http://b:1")),
        ("'http://a, http://b'", "", ("http://a", "http://b")),
        ("['http://a']", " http://b ,https://c/x/", ("http://b", "https://c/x")),
        ("['http://a', 'http://a/']", "", ("http://a",)),
        ("'http://a,'", "", ("http://a",)),
        ("['http://a']", "http://b,, http://c ,", ("http://b", "http://c")),
    ],
)
def test_there_may_be_several_servers(tmp_path: Path, table: str, environment: str, urls: tuple[str, ...]) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.imagegen.comfyui.server]\nurl = {table}")
    settings = read_settings(tmp_path, {}, {"COMFYUI_URL": environment})
    assert settings.comfyui_server_urls == urls


@pytest.mark.parametrize("table", ["[]", "1", "['http://a', 1]", "['http://a', 'b']", "','", "[['http://a']]"])
def test_servers_that_cannot_be_are_told(tmp_path: Path, table: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.imagegen.comfyui.server]\nurl = {table}")
    with pytest.raises(ImagegenError, match=r"^pyproject.toml:2:1: comfyui.server.url: expected "):
        read_settings(tmp_path, {}, {})


def test_a_secret_is_only_known_as_set(tmp_path: Path) -> None:
    environment = dict.fromkeys(("HF_TOKEN", "COMFYUI_AUTH", "COMFY_API_KEY", "A1111_AUTH", "OPENAI_API_KEY"), "hush")
    values, problems = collect_settings(tmp_path, {}, environment)
    assert "hush" not in repr((values, problems, read_settings(tmp_path, {}, environment)))
    assert {value.setting.name: str(value) for value in values if value.setting.secret} == {
        "comfyui.auth": "set",
        "comfyui.account_key": "set",
        "a1111.auth": "set",
        "openai.api_key": "set",
        "hf_token": "set",
    }


def test_a_secret_in_pyproject_is_refused_without_showing_it(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.imagegen]\nhf_token = "hush"\n')
    with pytest.raises(ImagegenError, match="a secret must not be") as caught:
        read_settings(tmp_path, {}, {})
    assert "HF_TOKEN" in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "http://me:hush@host",
        "hush",
        "me:hush@host:1",
        "http://h ush",
        "http://h:99999",
        "http://h?hush",
        "http://:1",
        "http://a,hush",
    ],
)
def test_an_address_that_cannot_be_is_told_by_its_variable_and_not_shown(tmp_path: Path, address: str) -> None:
    with pytest.raises(ImagegenError, match="environment variable COMFYUI_URL: expected an address") as caught:
        read_settings(tmp_path, {}, {"COMFYUI_URL": address})
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("wait", ["nan", "-1", "inf", "1e9"])
def test_a_wait_is_a_finite_number_of_seconds(tmp_path: Path, wait: str) -> None:
    with pytest.raises(ImagegenError, match="expected a number of seconds"):
        read_settings(tmp_path, {"wait": wait}, {})


def test_a_cluster_is_named_by_whoever_is_strongest_and_none_is_none(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.imagegen]\ncluster = "tcp://a:8786"')
    assert read_settings(tmp_path, {}, {}).cluster == "tcp://a:8786"
    assert read_settings(tmp_path, {}, {"IMAGEGEN_CLUSTER": "tls://[::1]:1"}).cluster == "tls://[::1]:1"
    assert read_settings(tmp_path, {"cluster": "none"}, {"IMAGEGEN_CLUSTER": "tcp://b:1"}).cluster == ""


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("s3://art-team", StoreUrl("s3", "", bucket="art-team")),
        ("s3://art.team/game/one/", StoreUrl("s3", "game/one", bucket="art.team")),
        ("ssh://nas/srv/art", StoreUrl("ssh", "srv/art", host="nas")),
        (
            "ssh://mia@nas.example.org:2222/srv/art",
            StoreUrl("ssh", "srv/art", user="mia", host="nas.example.org", port=2222),
        ),
        ("ssh://[::1]:22/srv", StoreUrl("ssh", "srv", host="::1")),
        ("file:///mnt/our team/art", StoreUrl("file", "mnt/our team/art")),
        ("file:///C:/team", StoreUrl("file", "C:/team")),
    ],
)
def test_an_address_is_taken_apart(text: str, place: StoreUrl) -> None:
    assert read_store_url(text) == place


@pytest.mark.parametrize(
    "text",
    [
        "team", "/mnt/team", "gs://team", "http://host/team", "memory://team", "s3://", "s3://Team_1/x", "s3://key@team/x", "s3://team:9000/x",
        "file://", "file:///", "file://mnt/team", "ssh://nas", "ssh://nas/", "ssh:///srv", "ssh://nas:70000/srv", "ssh://nas:x/srv", "ssh://-oProxyCommand=x/srv",
        "s3://team/a?versionId=1", "s3://team/a#b", "s3://team/*", "file:///mnt/a\nb", "file:///mnt/team ", "file:///a::b", "simplecache::s3://team/x", "file:///mnt/[a]",
    ],
)  # fmt: skip
def test_what_is_no_address_of_a_store_is_refused(text: str) -> None:
    with pytest.raises(
        ValueError, match="expected s3://bucket/folder, ssh://host/folder, file:///mnt/team/folder or none"
    ):
        read_store_url(text)


@pytest.mark.parametrize(
    "address",
    [
        "ssh://mia:hush-hush@nas/srv",
        "s3://AKIA:hush-hush@team/x",
        "gs://mia:hush-hush@x",
        "ssh://mia:hush-hush@a@nas/srv",
        "ssh://mia:hush-hush/x@nas/srv",
    ],
)
def test_a_password_is_refused_and_not_repeated(tmp_path: Path, address: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.imagegen]\nstore = '{address}'\n")
    for given in ({}, {"store": address}):
        with pytest.raises(ImagegenError) as caught:
            read_settings(tmp_path, given, {"IMAGEGEN_STORE": address})
        assert len(caught.value.problems) == 2 + len(given)
        assert "hush" not in str(caught.value)


def test_it_is_said_where_a_password_can_be_given() -> None:
    with pytest.raises(ValueError, match=r"without a password in it; use a key, ssh-agent, or .* FSSPEC_SSH_PASSWORD"):
        read_store_url("ssh://mia:hush@nas/srv")


def test_the_command_line_is_stronger_and_none_switches_it_off(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.imagegen]\nstore = "s3://team/x/"\nstore_writes = false\n')
    settings = read_settings(tmp_path, {}, {})
    assert (settings.store, settings.store_writes) == ("s3://team/x", False)
    settings = read_settings(tmp_path, {"store": "none"}, {"IMAGEGEN_STORE_WRITES": "true"})
    assert (settings.store, settings.store_writes) == ("", True)


@pytest.mark.parametrize("address", ["ssh:u:hush@host/x", "ssh://host/x?password=hush", "ssh://u:hus hush@host/x"])
def test_what_is_refused_on_the_command_line_is_not_repeated(tmp_path: Path, address: str) -> None:
    with pytest.raises(ImagegenError, match="store=…: expected ") as caught:
        read_settings(tmp_path, {"store": address}, {})
    assert "hush" not in str(caught.value)


def test_what_else_may_be_said_is_told(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.imagegen]\nstore = false\n")
    with pytest.raises(ImagegenError, match=r"store: expected s3://.* or none"):
        read_settings(tmp_path, {}, {})
    with pytest.raises(ImagegenError, match="expected true or false, found 'False'"):
        read_settings(tmp_path, {"store": "none"}, {"IMAGEGEN_STORE_WRITES": "False"})


@pytest.mark.parametrize("value", ["'yes'", "1", "'True'", "[]"])
def test_whether_to_write_is_true_or_false(tmp_path: Path, value: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.imagegen]\nstore_writes = {value}\n")
    with pytest.raises(ImagegenError, match="store_writes: expected true or false"):
        read_settings(tmp_path, {}, {})
