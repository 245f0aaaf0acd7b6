from __future__ import annotations

import pytest

from imagegen.backends.address import get_origin, get_port, is_local, is_private, is_same_server


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8188", True),
        ("http://localhost:8188", True),
        ("http://[::1]:8188", True),
        ("http://127.1.2.3", True),
        ("http://192.168.1.4:8188", False),
        ("https://localhost.example.org", False),
        ("http://[::1", False),
    ],
)
def test_loopback_addresses_are_local(url: str, local: bool) -> None:
    assert is_local(url) == local


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("http://127.0.0.1:8000/v1", True),
        ("http://[::1]/v1", True),
        ("http://localhost:8000", True),
        ("http://10.1.2.3", True),
        ("http://172.31.255.255:8000", True),
        ("http://192.168.1.4:8188", True),
        ("http://[fd00::1]:8000", True),
        ("http://gpu:8000/v1", True),
        ("http://3090-box", True),
        ("http://GPU.local", True),
        ("http://172.32.0.1", False),
        ("http://8.8.8.8", False),
        ("http://134744072", False),
        ("http://0x08080808", False),
        ("http://[2001:db8::1]", False),
        ("https://images.example.com/v1", False),
        ("https://images.local.example.com", False),
        ("https://images。example。com", False),
        ("http://[::1", False),
        ("", False),
    ],
)
def test_an_address_that_the_user_alone_can_have_is_private(url: str, private: bool) -> None:
    assert is_private(url) == private


@pytest.mark.parametrize(
    ("url", "port"),
    [("http://a", 80), ("https://a", 443), ("http://a:8188/x", 8188), ("http://a:99999", None), ("http://[::1", None)],
)
def test_an_address_without_a_port_has_that_of_its_scheme(url: str, port: int | None) -> None:
    assert get_port(url) == port


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://127.0.0.1:8188", "http://localhost:8188", True),
        ("http://127.0.0.1:8188", "http://[::1]:8188", True),
        ("http://127.0.0.1:8188", "http://127.0.0.1:8189", False),
        ("http://127.0.0.1:7801", "http://localhost:7801/ComfyBackendDirect", False),
        ("http://127.0.0.1:8188", "http://gpu2:8188", False),
        ("http://gpu2:8188", "http://gpu2:8188", True),
        ("127.0.0.1:11434", "127.0.0.1:11434", True),
        ("", "http://127.0.0.1:80", False),
        ("http://[::1", "http://127.0.0.1:80", False),
    ],
)
def test_two_addresses_of_this_machine_can_be_one(one: str, other: str, same: bool) -> None:
    assert is_same_server(one, other) is same


def test_an_origin_is_scheme_host_and_port() -> None:
    assert get_origin("HTTPS://A.example/v1") == get_origin("https://a.example:443") == ("https", "a.example", 443)
    assert get_origin("http://a.example:8000/v1") == ("http", "a.example", 8000)
    assert get_origin("http://[::1") == ("http", "", None)
