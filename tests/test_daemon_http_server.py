from __future__ import annotations

import asyncio
import errno
import json
import socket

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sfm_stream.daemon.http import server
from sfm_stream.daemon.http.server import LONGEST_MESSAGE
from sfm_stream.daemon.status.model import Vitals
from sfm_stream.errors import AddressError
from sfm_stream.settings import Daemon
from sfm_stream.settings.units import Duration
from tests.daemon_web import asked, forecasts, served
from tests.live_rig import until
from tests.vitals_rig import WELL, vitals

UPGRADE = (
    "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip


def ask(path, *headers, method="GET", host="", **given):
    async def run():
        async with served(**given) as (_, url):
            return await asked(url, path, *headers, method=method, host=host)

    return asyncio.run(run())


def test_whoever_is_alive_says_so():
    status, headers, body = ask("/healthz")
    assert (status, body) == (200, b"ok\n")
    assert headers["Cache-Control"] == "no-store"


def test_the_index_names_every_page():
    status, headers, body = ask("/")
    assert (status, headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert body.decode().split("\n") == [
        "sfm-stream", "/healthz", "/readyz", "/status", "/metrics",
        "/records (websocket)", "",
    ]  # fmt: skip


def test_status_is_the_vitals_as_json():
    status, headers, body = ask("/status?pretty")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert msgspec.json.decode(body, type=Vitals) == WELL


def test_a_process_that_is_well_is_ready():
    status, headers, body = ask("/readyz")
    assert (status, json.loads(body)) == (200, {"ready": True, "reasons": []})
    assert headers["Content-Type"] == "application/json"


def test_a_process_that_is_not_ready_says_why():
    ill = vitals(lag_s=3.0, finite=False)
    status, _, body = ask(
        "/readyz", ask=lambda: ill, settings=lambda: Daemon(ready_lag=Duration("2s"))
    )
    assert status == 503
    assert json.loads(body) == {
        "ready": False,
        "reasons": [
            "lag: expected at most 2 s, was 3 s",
            "model: expected finite numbers, was non-finite",
        ],
    }


def test_metrics_are_of_the_type_that_is_asked_for():
    status, headers, body = ask("/metrics")
    assert (status, headers["Content-Type"].split(";")[0]) == (200, "text/plain")
    assert b"\nsfm_stream_events_total 1500.0\n" in body
    _, headers, body = ask(
        "/metrics", "Accept: application/openmetrics-text; version=1.0.0"
    )
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/status", "/metrics"])
def test_head_gives_the_same_headers_without_the_page(path):
    status, headers, body = ask(path, method="HEAD")
    again, whole, page = ask(path)
    assert (status, body) == (again, b"") == (200, b"")
    assert whole["Content-Length"] == str(len(page))
    # seconds of a page of metrics may take a digit more
    assert abs(int(headers["Content-Length"]) - len(page)) < 10
    assert headers["Content-Type"] == whole["Content-Type"]


@pytest.mark.parametrize(
    "path", ["/favicon.ico", "/statu", "/../status", "//status", "/%00"]
)
def test_a_page_that_is_not_there_is_not_found(path):
    status, _, body = ask(path)
    assert status == 404
    assert b"there are /, /healthz, /readyz, /status, /metrics, /records" in body


def test_only_reading_is_allowed():
    status, headers, _ = ask("/status", method="DELETE")
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_the_websocket_wants_one():
    assert ask("/records")[0] == 426
    assert ask("/records", *UPGRADE)[0] == 101


def test_an_error_of_a_page_ends_no_one_but_the_request():
    def broken():
        raise RuntimeError("of a test")

    async def run():
        async with served(ask=broken) as (_, url):
            first = await asked(url, "/status")
            return first[0], (await asked(url, "/healthz"))[0]

    assert asyncio.run(run()) == (500, 200)


@pytest.mark.parametrize(
    "request_",
    [
        b"GARBAGE\r\n\r\n",
        b"GET /status HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /status HTTP/1.1\r\nHost 127.0.0.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Accept: application/openmetrics-text; version=zzz\r\n\r\n",
    ],
)
def test_a_request_that_cannot_be_read_is_answered_as_a_bad_one(request_):
    async def run():
        async with served() as (_, url):
            host, port = url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(request_)
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            return head.split(b"\r\n"), body

    (first, *fields), body = asyncio.run(run())
    assert first == b"HTTP/1.1 400 Bad Request"
    assert b"Content-Length: %d" % len(body) in fields
    assert body.startswith(b"expected")


def test_garbage_instead_of_a_request_ends_no_one_else():
    async def run():
        async with served() as (_, url):
            host, port = url.removeprefix("http://").split(":")
            for garbage in (
                b"\x16\x03\x01\x02\x00\xff\n",
                b"GET\r\n\r\n",
                b"G" * 70_000,
            ):
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(garbage)
                writer.write_eof()
                await reader.read()
                writer.close()
            return (await asked(url, "/healthz"))[0]

    assert asyncio.run(run()) == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://evil.example", 403), ("null", 403), ("http://127.0.0.1.evil.example", 403),
        ("http://localhost:3000", 101), ("http://127.0.0.1:8765", 101),
        ("http://[::1]:9", 101),
    ],
)  # fmt: skip
def test_pages_of_foreign_sites_may_not_listen(origin, status):
    assert ask("/records", *UPGRADE, f"Origin: {origin}")[0] == status


def test_clients_are_few(monkeypatch):
    monkeypatch.setattr(server, "MOST_CLIENTS", 2)

    async def run():
        async with served() as (hub, url):
            where = url.replace("http", "ws") + "/records"
            async with connect(where), connect(where) as second:
                await until(lambda: len(hub) == 2)
                with pytest.raises(InvalidStatus) as refused:
                    await connect(where)
                await second.close()
                await until(lambda: len(hub) == 1)
                async with connect(where):
                    return refused.value.response.status_code

    assert asyncio.run(run()) == 503


def test_a_message_that_is_too_long_ends_its_connection():
    async def run():
        async with served() as (_, url):
            async with connect(url.replace("http", "ws") + "/records") as socket:
                await socket.send("x" * (LONGEST_MESSAGE + 1))
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.recv()
            assert (await asked(url, "/healthz"))[0] == 200
            return closed.value.rcvd.code

    assert asyncio.run(run()) == 1009


def test_clients_are_told_when_it_goes():
    async def run():
        async with served() as (hub, url):
            socket = await connect(url.replace("http", "ws") + "/records")
            await socket.send("{}")
            await socket.recv()
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        hub.publish(forecasts(0, 3))
        return closed.value.rcvd.code, len(hub)

    assert asyncio.run(run()) == (1001, 0)


def test_a_port_in_use_is_named_with_what_to_do():
    async def run(port):
        async with served(listen=f"127.0.0.1:{port}"):
            pass

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressError) as refused:
            asyncio.run(run(port))
    assert str(refused.value) == (
        f"127.0.0.1:{port}: expected a free port, was in use; "
        "stop who listens there, or set daemon.listen to another port"
    )


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        (errno.EACCES, "expected a port it may use, was refused; set daemon.listen"),
        (errno.EADDRNOTAVAIL, "expected an address of this machine, was another"),
        (errno.EMFILE, "cannot listen: Too many open files"),
    ],
)
def test_other_reasons_are_named_too(number, problem, monkeypatch):
    async def refuse(*_, **__):
        raise OSError(number, "Too many open files")

    async def run():
        async with served():
            pass

    monkeypatch.setattr(server, "serve", refuse)
    with pytest.raises(AddressError, match=problem):
        asyncio.run(run())


@pytest.mark.parametrize("page", ["/", "/healthz", "/status", "/metrics", "/nothing"])
def test_no_page_is_read_under_a_foreign_name(page):
    assert ask(page, host="evil.example:80")[0] == 403


def test_the_websocket_is_not_read_under_a_foreign_name():
    assert ask("/records", *UPGRADE, host="evil.example:80")[0] == 403


def test_a_process_answers_to_the_names_it_is_given():
    settings = Daemon(hosts=("Box.local",))
    status, _, _ = ask("/healthz", settings=lambda: settings, host="box.local:80")
    assert status == 200


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("//[", ("Host: localhost",)),
        ("http://localhost/status", ("Host: localhost",)),
        ("/status", ()),
        ("/status", ("Host: localhost", "Host: evil.example")),
        ("/status", ("Host: [::1",)),
        ("/status", ("Host: ",)),
        ("/status", ("Host: localhost:x",)),
        ("/status", ("Host: me@localhost",)),
    ],
)
def test_a_malformed_request_is_its_senders_fault(path, headers):
    status, _, _ = ask(path, *headers, host=None)
    assert status == (404 if path == "//[" else 400)


def test_origins_that_come_twice_must_both_be_friends():
    twice = ("Origin: http://localhost", "Origin: https://evil.example")
    assert ask("/records", *UPGRADE, *twice)[0] == 403


def test_it_can_listen_on_the_other_protocol():
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")

    async def run():
        try:
            async with served(listen="[::1]:0") as (_, url):
                return url, (await asked(url, "/healthz"))[0]
        except AddressError:
            pytest.skip("this machine has no IPv6 address")

    url, status = asyncio.run(run())
    assert url.startswith("http://[::1]:")
    assert status == 200
