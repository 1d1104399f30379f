from __future__ import annotations

import pytest

from sfm_stream.daemon.http.guard import address, host_of, is_friend, is_ours, names
from sfm_stream.errors import ConfigError
from sfm_stream.settings import Daemon


@pytest.mark.parametrize(
    ("origin", "host", "listen", "friend"),
    [
        ("http://box:8765", "box:8765", "box:8765", True),
        ("http://192.168.1.5:8765", "192.168.1.5:8765", "0.0.0.0:8765", True),
        ("http://192.168.1.6:8765", "192.168.1.5:8765", "0.0.0.0:8765", False),
        ("http://evil.example:8765", "evil.example:8765", "0.0.0.0:8765", False),
        ("http://[fe80::1]:1", "[fe80::1]:1", "[::]:1", True),
        ("http://[broken", "[broken", "0.0.0.0:8765", False),
        ("", "", "127.0.0.1:8765", False),
    ],
)
def test_a_name_could_be_anyones_a_number_not(origin, host, listen, friend):
    assert is_friend(origin, host, names(Daemon(listen=listen))) is friend


@pytest.mark.parametrize(
    ("header", "ours"),
    [
        ("localhost", True), ("localhost:8788", True), ("LOCALHOST:1", True),
        ("10.0.0.7:8788", True), ("[::1]:8788", True), ("[fe80::1]", True),
        ("box:8788", True), ("friend.local", True),
        ("evil.example:8788", False), ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
    ],
)  # fmt: skip
def test_a_host_is_ours_by_name_or_number(header, ours):
    known = names(Daemon(listen="box:8788", hosts=("Friend.local",)))
    assert is_ours(host_of(header), known) is ours


@pytest.mark.parametrize("header", ["", ":80", "a/b", "me@box", "[::1", "a:x"])
def test_what_names_no_host_is_refused(header):
    with pytest.raises(ValueError, match=r"."):
        host_of(header)


@pytest.mark.parametrize(
    ("listen", "host", "port"),
    [
        ("127.0.0.1:8765", "127.0.0.1", 8765), ("box.local:0", "box.local", 0),
        ("[::1]:80", "::1", 80), ("192.0.2.1:65535", "192.0.2.1", 65_535),
    ],
)  # fmt: skip
def test_an_address_is_host_and_port(listen, host, port):
    assert address(listen) == (host, port)


@pytest.mark.parametrize(
    "listen", ["", ":8765", "8765", "box", "box:", "box:x", "box:65536", "http://box:80",
               "me@box:80", "box:80/x", "[::1:80"]
)  # fmt: skip
def test_what_is_no_address_is_refused(listen):
    with pytest.raises(ConfigError, match=r"daemon\.listen: expected host:port"):
        address(listen)
