"""The daemon's HTTP server: pages for people and monitors, and the websocket.

    /                                       the page for a browser, else this list
    /healthz  /readyz  /status  /metrics    GET or HEAD
    /records                                the websocket

There is no password: everyone who reaches the address may read. So by default only this
machine reaches it, and `guard` keeps pages of foreign sites out.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from email.utils import formatdate
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec
from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.http11 import Response

from sfm_stream.daemon.http import files
from sfm_stream.daemon.http.doors import BACKLOG, Doors, through
from sfm_stream.daemon.http.guard import (
    address,
    expect_one,
    host_of,
    is_friend,
    is_ours,
    names,
)
from sfm_stream.daemon.http.prometheus import page
from sfm_stream.daemon.status.model import Vitals, unready
from sfm_stream.errors import AddressError

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request

    from sfm_stream.daemon.http.prometheus import Meters
    from sfm_stream.settings import Daemon

RECORDS = "/records"
MOST_CLIENTS = 64
LONGEST_MESSAGE = 2**16
"""Most bytes of a client's message."""
HANDSHAKE_S, CLOSING_S = 5.0, 1.0
METHODS = ("GET", "HEAD")
TEXT, JSON = "text/plain; charset=utf-8", "application/json"
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
Handler: TypeAlias = "Callable[[Request], Awaitable[Body]]"


class Clients(Protocol):
    """The clients of the websocket."""

    def __len__(self) -> int:
        """Count the clients."""

    async def serve(self, socket: ServerConnection) -> None:
        """Serve a client until it disconnects."""


class Pages:
    """Answers the requests for each path.

    Args:
        ask: gives the status.
        settings: gives the present settings.
        meters: makes the metrics.
        hub: serves the websocket.
        others: handlers of further paths, or in place of the handlers here.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[Vitals]],
        settings: Callable[[], Daemon],
        meters: Meters,
        hub: Clients,
        others: Mapping[str, Handler] = MappingProxyType({}),
    ) -> None:
        self._ask, self._settings, self._meters = ask, settings, meters
        self.hub, self._files = hub, files.read()
        self._pages: Mapping[str, Handler] = {
            "/": self._index,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/status": self._status,
            "/metrics": self._metrics,
            **others,
        }

    async def answer(self, _: ServerConnection, request: Request) -> Response | None:
        """Answer a request; None if it is for the websocket."""
        try:
            path, host = _target(request), expect_one(request.headers, "Host")
            name = host_of(host)
        except ValueError as error:
            body: Body | None = _text(HTTPStatus.BAD_REQUEST, str(error))
        else:
            body = self._refusal(name) or await self._page(request, path, host)
        if body is None:
            return None
        response = _response(request, *body)
        if body[1] == files.KINDS["html"]:
            response.headers["Content-Security-Policy"] = files.POLICY
            response.headers["Referrer-Policy"] = "no-referrer"
        if body[0] == HTTPStatus.METHOD_NOT_ALLOWED:
            response.headers["Allow"] = ", ".join(METHODS)
        return response

    async def _page(self, request: Request, path: str, host: str) -> Body | None:
        """Give the answer for a path; None for the websocket."""
        if path == RECORDS:
            return self._refused_client(request, host)
        if request.method not in METHODS:
            return _text(HTTPStatus.METHOD_NOT_ALLOWED, "expected GET or HEAD")
        page = self._pages.get(path)
        if page is None and path in self._files:
            return self._file(path)
        if page is None:
            known = ", ".join([*self._pages, RECORDS])
            return _text(HTTPStatus.NOT_FOUND, f"no such page; there are {known}")
        return await page(request)

    def _refusal(self, host: str) -> Body | None:
        """Refuse a host name that is not served; None if it is served."""
        if is_ours(host, names(self._settings())):
            return None
        problem = f"expected a name of this process, was {host!r}; see daemon.hosts"
        return _text(HTTPStatus.FORBIDDEN, problem)

    def _refused_client(self, request: Request, host: str) -> Body | None:
        """Refuse a websocket by origin or number of clients; None if it may open."""
        for origin in request.headers.get_all("Origin"):
            if not is_friend(origin, host, names(self._settings())):
                problem = f"pages of {origin} may not read this"
                return _text(HTTPStatus.FORBIDDEN, problem)
        if len(self.hub) >= MOST_CLIENTS:
            problem = f"there are {MOST_CLIENTS} clients already"
            return _text(HTTPStatus.SERVICE_UNAVAILABLE, problem)
        return None

    def _file(self, path: str) -> Body:
        file = self._files[path]
        return HTTPStatus.OK, file.kind, file.body

    async def _index(self, request: Request) -> Body:
        """Give the page to a browser, and a list of the paths to other clients."""
        if files.wants_html(",".join(request.headers.get_all("Accept"))):
            return self._file("/")
        lines = [path for path in self._pages if path != "/"]
        told = "\n".join(["sfm-stream", *lines, f"{RECORDS} (websocket)"])
        return _text(HTTPStatus.OK, told)

    async def _healthz(self, _: Request) -> Body:
        return _text(HTTPStatus.OK, "ok")  # a process that answers is alive

    async def _readyz(self, _: Request) -> Body:
        return readiness_body(unready(await self._ask(), self._settings()))

    async def _status(self, _: Request) -> Body:
        return await asyncio.to_thread(json_body, await self._ask())

    async def _metrics(self, request: Request) -> Body:
        metrics = self._meters.metrics(await self._ask())
        # a long text with a thousand streams: a thread makes it, not the loop
        return await asyncio.to_thread(metrics_body, metrics, request)


@asynccontextmanager
async def serving(listen: str, pages: Pages) -> AsyncIterator[str]:
    """Serve pages and the websocket within a `with` block; give the address.

    Args:
        listen: `host:port`, as `daemon.listen`; port 0: any free port.
        pages: the pages.

    Raises:
        ConfigError: if the address is invalid.
        AddressError: if the address cannot be used.
    """
    host, port = address(listen)
    try:
        server = await serve(
            pages.hub.serve, host, port,
            process_request=pages.answer,
            max_size=LONGEST_MESSAGE,
            compression=None,  # it takes a third of a MiB per client, and time per line
            open_timeout=HANDSHAKE_S,
            close_timeout=CLOSING_S,
            backlog=BACKLOG,
            create_connection=through(Doors()),
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


def _target(request: Request) -> str:
    """Give the path of a request.

    Raises:
        ValueError: if it names no path.
    """
    if not request.path.startswith("/"):
        raise ValueError(f"expected a path, was {request.path!r}")
    return request.path.partition("?")[0]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _text(status: HTTPStatus, text: str) -> Body:
    return status, TEXT, f"{text}\n".encode()


def json_body(tree: object, status: HTTPStatus = HTTPStatus.OK) -> Body:
    """Give an answer of JSON."""
    return status, JSON, msgspec.json.encode(tree)


def readiness_body(reasons: Sequence[str]) -> Body:
    """Give the answer of `/readyz`: 503 with the reasons, or 200 without any."""
    status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    return json_body({"ready": not reasons, "reasons": reasons}, status)


def metrics_body(metrics: Iterable[Metric], request: Request) -> Body:
    """Give the answer of `/metrics`, in the requested format."""
    accept = ",".join(request.headers.get_all("Accept"))
    try:
        text, kind = page(metrics, accept)
    except ValueError as error:
        return _text(HTTPStatus.BAD_REQUEST, str(error))
    return HTTPStatus.OK, kind, text


def _response(request: Request, status: HTTPStatus, kind: str, body: bytes) -> Response:
    headers = Headers([
        ("Date", formatdate(usegmt=True)), ("Connection", "close"),
        ("Content-Length", str(len(body))), ("Content-Type", kind),
        ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"),
    ])  # fmt: skip
    sent = b"" if request.method == "HEAD" else body
    return Response(status.value, status.phrase, headers, sent)
