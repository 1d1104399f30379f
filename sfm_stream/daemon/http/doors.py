"""Limits the connections of a live process, so that they never use up its open files.

A process has a limit of open files, and its journal and checkpoints need some of them.
At most `MOST` connections are kept. When one more comes, the oldest connection that is
not yet a websocket is closed, so an idle connection cannot keep a monitor out. A
connection whose file number lies in the reserve below the limit is closed at once: the
system gives the lowest free number, so such a number means that few are left.
"""

from __future__ import annotations

import asyncio
import logging
import resource

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidMessage
from websockets.protocol import State

MOST = 128
"""Most connections at the same time; more than the most websockets."""
BACKLOG = 16
"""Connections accepted per turn of the loop; four turns may pass before they count."""
RESERVE = 96
"""Files kept for journal, checkpoints and sinks, beyond four turns of `BACKLOG`."""
SHARE = 3
"""Under a low limit, the reserve is one part in `SHARE` of it."""

BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 27\r\n\r\n"
    b"expected a request of HTTP\n"
)
WITH_A_BODY = (
    b"HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD\r\nConnection: close\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 36\r\n\r\n"
    b"expected GET or HEAD without a body\n"
)
BODIES = ("unsupported request body", "transfer codings aren't supported")
"""The library's errors for a request with a body."""

log = logging.getLogger(__name__)


class Doors:
    """The connections of one server.

    Args:
        most: most connections at the same time.
        limit: most open files of the process; None: the system's limit.

    Attributes:
        closed: number of connections closed because there were too many.
    """

    def __init__(self, most: int = MOST, limit: int | None = None) -> None:
        files = (
            resource.getrlimit(resource.RLIMIT_NOFILE)[0] if limit is None else limit
        )
        unlimited = files == resource.RLIM_INFINITY
        self._most = most
        self._last = None if unlimited else files - min(RESERVE, files // SHARE)
        self._held: dict[ServerConnection, None] = {}
        self.closed = 0

    def __len__(self) -> int:
        return len(self._held)

    def enter(self, connection: ServerConnection) -> None:
        """Add a connection; close one if there are too many."""
        self._held[connection] = None
        number = connection.transport.get_extra_info("socket").fileno()
        if self._last is not None and number >= self._last:
            self._close(connection, "few files are left")
        elif len(self._held) > self._most:
            waiting = (c for c in self._held if c.protocol.state is not State.OPEN)
            self._close(next(waiting), "there are too many")

    def leave(self, connection: ServerConnection) -> None:
        """Remove a connection that ended."""
        self._held.pop(connection, None)

    def _close(self, connection: ServerConnection, reason: str) -> None:
        self.leave(connection)
        self.closed += 1
        log.warning("connection closed", extra={"reason": reason, "total": self.closed})
        connection.transport.abort()


def through(doors: Doors) -> type[ServerConnection]:
    """Make a class of connections that count themselves at these doors."""

    class Visitor(ServerConnection):
        """A connection that is counted, and gets an answer to an unreadable request."""

        _is_told = False

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            doors.enter(self)

        def send_data(self) -> None:
            # the library would close without an answer; it also calls this for each
            # later piece of data, when nothing can be written any more
            failed = self.protocol.handshake_exc
            if isinstance(failed, InvalidMessage) and not self._is_told:
                self._is_told = True
                has_body = str(failed.__cause__) in BODIES
                self.transport.write(WITH_A_BODY if has_body else BAD_REQUEST)
            super().send_data()

        def connection_lost(self, exc: Exception | None) -> None:
            doors.leave(self)
            super().connection_lost(exc)

    return Visitor
