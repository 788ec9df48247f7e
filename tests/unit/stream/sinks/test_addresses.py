"""What counts as an address of our own network, in whatever dress."""

from __future__ import annotations

import pytest

from stream.sinks.addresses import check_url, is_internal


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "64:ff9b:1::a00:1",
        "fec0::1",
        "::127.0.0.1",
    ],
)
def test_internal(address: str) -> None:
    assert is_internal(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public(address: str) -> None:
    assert not is_internal(address)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://example.org/", "http"),
        ("example.org", "http"),
        ("https:///path", "http"),
        ("https://user:word@example.org/", "login"),
        ("http://127.0.0.1/", "internal address"),
        ("http://[::1]/", "internal address"),
        ("http://169.254.169.254/latest", "internal address"),
        ("http://１２７.０.０.１/", "127.0.0.1 is an internal address"),
        ("http://127。0。0。1/", "127.0.0.1 is an internal address"),
        ("http://①②⑦.0.0.1/", "127.0.0.1 is an internal address"),
        ("http://[fe80::1%25eth0]/", "internal address"),
        ("http://[::1/key-1234", "^must be an http:// or https:// address$"),
        ("http://hook.example:key-1234/", "^must be an http:// or https:// address$"),
    ],
)
def test_a_url_is_refused(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_url(url, allow_internal=False)


def test_internal_addresses_are_for_those_who_say_so() -> None:
    check_url("http://127.0.0.1:8080/", allow_internal=True)
    check_url("https://hook.example/", allow_internal=False)
