"""The one address of a live process: pages for people and monitors, and the websocket.

    /healthz  /readyz  /status  /metrics    GET or HEAD
    /records                                the websocket

There is no password: whoever reaches the address may read. So it is this machine's
alone unless the settings say otherwise, and no page of a foreign site is served by a
reader's browser.
"""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from email.utils import formatdate
from http import HTTPStatus
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.http11 import Response

from sfm_stream.daemon.status.model import Vitals, unready
from sfm_stream.errors import AddressError, ConfigError

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request

    from sfm_stream.daemon.http.broadcast import Hub
    from sfm_stream.daemon.http.prometheus import Meters
    from sfm_stream.settings import Daemon

RECORDS = "/records"
MOST_CLIENTS = 64
LONGEST_MESSAGE = 2**16
"""Bytes of a subscription."""
HANDSHAKE_S, CLOSING_S = 5.0, 1.0
METHODS = ("GET", "HEAD")
TEXT, JSON = "text/plain; charset=utf-8", "application/json"
HERE = ("localhost", "127.0.0.1", "::1")
LISTEN = "daemon.listen"
REASONS: Mapping[int, tuple[str, str]] = {
    errno.EADDRINUSE: (
        "expected a free port, was in use",
        "stop who listens there, or set daemon.listen to another port",
    ),
    errno.EACCES: (
        "expected a port it may use, was refused",
        "set daemon.listen to a port above 1023",
    ),
    errno.EADDRNOTAVAIL: (
        "expected an address of this machine, was another",
        "set daemon.listen to 127.0.0.1 or 0.0.0.0, and a port",
    ),
}

Body: TypeAlias = tuple[HTTPStatus, str, bytes]


class Pages:
    """What each path answers.

    Args:
        ask: gives the vitals.
        settings: gives the settings of now.
        meters: what Prometheus reads.
        hub: serves the websocket.
    """

    def __init__(
        self,
        ask: Callable[[], Vitals],
        settings: Callable[[], Daemon],
        meters: Meters,
        hub: Hub,
    ) -> None:
        self._ask, self._settings, self._meters = ask, settings, meters
        self.hub = hub
        self._pages: Mapping[str, Callable[[Request], Body]] = {
            "/": self._index,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/status": self._status,
            "/metrics": self._metrics,
        }

    def answer(self, _: ServerConnection, request: Request) -> Response | None:
        """Answer a request; None: it is for the websocket."""
        path = urlsplit(request.path).path
        if path == RECORDS:
            refused = self._refusal(request)
            return None if refused is None else _response(request, *refused)
        if request.method not in METHODS:
            body = _text(HTTPStatus.METHOD_NOT_ALLOWED, "expected GET or HEAD")
            response = _response(request, *body)
            response.headers["Allow"] = ", ".join(METHODS)
            return response
        page = self._pages.get(path)
        if page is None:
            known = ", ".join([*self._pages, RECORDS])
            body = _text(HTTPStatus.NOT_FOUND, f"no such page; there are {known}")
            return _response(request, *body)
        return _response(request, *page(request))

    def _refusal(self, request: Request) -> Body | None:
        """Say why a client may not have the websocket, if it may not."""
        origin, host = request.headers.get("Origin"), request.headers.get("Host", "")
        listen = self._settings().listen
        if origin is not None and not is_friend(origin, host, listen):
            return _text(HTTPStatus.FORBIDDEN, f"pages of {origin} may not read this")
        if len(self.hub) >= MOST_CLIENTS:
            problem = f"there are {MOST_CLIENTS} clients already"
            return _text(HTTPStatus.SERVICE_UNAVAILABLE, problem)
        return None

    def _index(self, _: Request) -> Body:
        lines = [path for path in self._pages if path != "/"]
        told = "\n".join(["sfm-stream", *lines, f"{RECORDS} (websocket)"])
        return _text(HTTPStatus.OK, told)

    def _healthz(self, _: Request) -> Body:
        return _text(HTTPStatus.OK, "ok")  # whoever answers is alive

    def _readyz(self, _: Request) -> Body:
        reasons = unready(self._ask(), self._settings())
        status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        return _json(status, {"ready": not reasons, "reasons": reasons})

    def _status(self, _: Request) -> Body:
        return _json(HTTPStatus.OK, self._ask())

    def _metrics(self, request: Request) -> Body:
        accept = ",".join(request.headers.get_all("Accept"))
        page, kind = self._meters.page(accept)
        return HTTPStatus.OK, kind, page


@asynccontextmanager
async def serving(listen: str, pages: Pages) -> AsyncIterator[str]:
    """Serve pages and the websocket as long as this lasts; give the address.

    Args:
        listen: `host:port`, as `daemon.listen`; port 0: any that is free.
        pages: what is served.

    Raises:
        ConfigError: if the address cannot be meant.
        AddressError: if no one can listen there.
    """
    host, port = address(listen)
    try:
        server = await serve(
            pages.hub.serve, host, port,
            process_request=pages.answer,
            max_size=LONGEST_MESSAGE,
            compression=None,  # a third of a MiB per client, and time for each line
            open_timeout=HANDSHAKE_S,
            close_timeout=CLOSING_S,
        )  # fmt: skip
    except OSError as e:
        known = REASONS.get(e.errno or 0)
        problem, hint = known or (f"cannot listen: {e.strerror or e}", "")
        raise AddressError(listen, problem, hint) from e
    taken = next(iter(server.sockets)).getsockname()[1]
    try:
        yield f"http://{_bracketed(host)}:{taken}"
    finally:
        server.close()
        await server.wait_closed()


def address(listen: str) -> tuple[str, int]:
    """Read `host:port`.

    Raises:
        ConfigError: if it is none.
    """
    try:
        parts = urlsplit(f"//{listen}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port is None or parts.netloc != listen or parts.username:
        problem = f"expected host:port, was {listen!r}"
        raise ConfigError(LISTEN, problem, "e.g. 127.0.0.1:8765")
    return host, port


def is_friend(origin: str, host: str, listen: str) -> bool:
    """Say whether a page of a site may read what a browser here can reach.

    This machine's pages may, those of the host we listen on, and those from the very
    address they ask, if it is a number: a name could be anyone's.

    Args:
        origin: of the page, as browsers send it.
        host: whom it asks.
        listen: where we listen.
    """
    try:
        asking = urlsplit(origin)
        name = asking.hostname or ""
        if name in HERE or name == address(listen)[0]:
            return True
        ip_address(name)
    except ValueError:
        return False
    return asking.netloc == host


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _text(status: HTTPStatus, text: str) -> Body:
    return status, TEXT, f"{text}\n".encode()


def _json(status: HTTPStatus, tree: object) -> Body:
    return status, JSON, msgspec.json.encode(tree)


def _response(request: Request, status: HTTPStatus, kind: str, body: bytes) -> Response:
    headers = Headers([
        ("Date", formatdate(usegmt=True)), ("Connection", "close"),
        ("Content-Length", str(len(body))), ("Content-Type", kind),
        ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"),
    ])  # fmt: skip
    sent = b"" if request.method == "HEAD" else body
    return Response(status.value, status.phrase, headers, sent)
