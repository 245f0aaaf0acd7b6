from __future__ import annotations

import pytest

from imagegen.backends.address import get_port, is_local


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
    ("url", "port"),
    [("http://a", 80), ("https://a", 443), ("http://a:8188/x", 8188), ("http://a:99999", None), ("http://[::1", None)],
)
def test_an_address_without_a_port_has_that_of_its_scheme(url: str, port: int | None) -> None:
    assert get_port(url) == port
