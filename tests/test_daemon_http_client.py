from __future__ import annotations

import socket
import threading
from contextlib import contextmanager

import pytest

from sfm_stream.daemon.http import client
from sfm_stream.daemon.http.client import ask
from sfm_stream.errors import AddressError
from tests.daemon_web import served_apart
from tests.vitals_rig import WELL, vitals


@contextmanager
def answering(content):
    """Someone who answers each request with the same bytes; gives the address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            while True:
                try:
                    there, _ = listening.accept()
                except OSError:
                    return
                with there:
                    there.recv(65_536)
                    there.sendall(content)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def page(body, status="200 OK"):
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (
        status.encode(), len(body), body,
    )  # fmt: skip


def test_a_process_that_is_well_tells_its_vitals():
    with served_apart() as url:
        assert ask(url) == (WELL, [])


def test_the_address_may_be_written_as_in_the_settings():
    with served_apart() as url:
        assert ask(url.removeprefix("http://")).vitals == WELL
        assert ask(f"{url}/").vitals == WELL


def test_a_process_that_is_not_ready_tells_why():
    with served_apart(ask=lambda: vitals(finite=False)) as url:
        answer = ask(url)
    assert not answer.vitals.finite
    assert answer.reasons == ["model: expected finite numbers, was non-finite"]


def test_where_no_one_listens_it_says_so():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(AddressError) as refused:
        ask(f"127.0.0.1:{port}")
    assert str(refused.value) == (
        f"http://127.0.0.1:{port}/status: no daemon answers: Connection refused; "
        "start one, or name the address that its daemon.listen names"
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "no daemon answers: .+"),
        (b"SSH-2.0\r\n", "no daemon answers: SSH-2.0"),
        (page(b"<html>"), "expected an sfm-stream daemon of this version, was another"),
        (
            page(b"\xff\xfe"),
            "expected an sfm-stream daemon of this version, was another",
        ),
        (page(b'{"new":' * 100_000), "daemon of this version, was another: maximum"),
        (page(b'{"version": "9"}'), "was another: Object missing required field `pid`"),
        (
            page(b"no", "404 Not Found"),
            "expected an sfm-stream daemon, answered 404 Not Found",
        ),
        (page(b"no", "503 Busy"), "expected an sfm-stream daemon of this version"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
            "was another: Input data was truncated",
        ),
    ],
    ids=[
        "nothing",
        "ssh",
        "html",
        "bytes",
        "deep",
        "other",
        "missing",
        "busy",
        "cut off",
    ],
)
def test_whoever_else_answers_is_told_apart(content, problem):
    with answering(content) as url:
        with pytest.raises(AddressError, match=problem):
            ask(url)


def test_one_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(client, "PATIENCE_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(AddressError, match="no daemon answers: timed out"):
            ask(f"127.0.0.1:{silent.getsockname()[1]}")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "file:///etc/hostname", "data://x"])
def test_an_address_of_something_else_is_refused(url):
    with pytest.raises(AddressError, match="expected an http address"):
        ask(url)


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:x", "http://[", "a b", "http://127.0.0.1:99999"]
)
def test_what_is_no_address_is_an_error_of_ours(url):
    with pytest.raises(AddressError):
        ask(url)


def test_a_proxy_of_the_environment_is_passed_by(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with served_apart() as url:
        assert ask(url).vitals == WELL
