from __future__ import annotations

from pathlib import Path

import pytest

from imagegen.config.settings import read_settings
from imagegen.config.store_url import StoreUrl, read_store_url
from imagegen.errors import ImagegenError


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
