"""The protocol of a venue: frames in, events and notices out; no socket, no clock.

A protocol is told when a connection has opened, and receives its frames. It returns
events for the engine, and notices for the code that holds the connection. So the same
object reads a live socket, a recorded capture, and the frames of a test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec

from connectors import options
from connectors.venues.options import VenueOptions
from sfm_stream.errors import ConfigError
from sfm_stream.events import Event, Tick
from sfm_stream.outsiders import Sort, class_of

if TYPE_CHECKING:
    from sfm_stream.config import Config

VENUES = {
    "binance": "connectors.venues.binance:Binance",
    "binance-usdm": "connectors.venues.binance:BinanceUsdM",
    "bitstamp": "connectors.venues.bitstamp:Bitstamp",
    "bybit": "connectors.venues.bybit:Bybit",
    "coinbase": "connectors.venues.coinbase:Coinbase",
    "coinbase-advanced": "connectors.venues.coinbase_advanced:CoinbaseAdvanced",
    "json": "connectors.venues.json.protocol:Json",
    "kraken": "connectors.venues.kraken:Kraken",
    "okx": "connectors.venues.okx:Okx",
}
OF_A_VENUE = Sort(
    "venue",
    ("url", "opened", "subscribe", "receive"),
    "connectors.venues.protocol.Venue",
    VENUES,
    group="sfm_stream.venues",
)
MIB = 2**20


class Subscribed(msgspec.Struct, frozen=True, gc=False):
    """The venue has confirmed a subscription; an empty topic means all requested."""

    topic: str


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The venue has refused a subscription; the topic is empty if it named none."""

    topic: str
    reason: str


class Alive(msgspec.Struct, frozen=True, gc=False):
    """A sign of life without new data.

    Attributes:
        topic: the topic whose data was sent again unchanged; empty for a heartbeat or
            pong, which shows that the connection is open but not that data flows.
    """

    topic: str = ""


class Departing(msgspec.Struct, frozen=True, gc=False):
    """The venue is about to close this connection: open another one first."""

    reason: str


class History(msgspec.Struct, frozen=True, gc=False):
    """A tick from before the subscription, e.g. of a snapshot; no forecast uses it."""

    tick: Tick


Notice: TypeAlias = Subscribed | Refused | Alive | Departing | History
NOTICES = (Subscribed, Refused, Alive, Departing, History)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits and requirements of a venue for connections; durations in seconds.

    Attributes:
        topics: most topics of one connection.
        characters: most characters of all topics of one connection, and the number
            that a topic takes besides its name; or None.
        connects: most connections to a host, and the period for them.
        messages: most frames sent on a connection, and the period for them.
        lifetime: age at which the venue closes a connection, or None.
        ping: interval between pings and the frame to send, or None.
        quiet: a topic silent for longer is stale.
        compression: whether to ask for compressed frames.
        largest: largest size of a frame in bytes.
    """

    topics: int = 1024
    characters: tuple[int, int] | None = None
    connects: tuple[int, float] = (300, 300.0)
    messages: tuple[int, float] = (5, 1.0)
    lifetime: float | None = None
    ping: tuple[float, bytes] | None = None
    quiet: float = 60.0
    compression: bool = False
    largest: int = 4 * MIB


class Venue(Protocol):
    """The protocol of a venue.

    Attributes:
        limits: limits and requirements of the venue for connections.
        channels: names of a tick's values, for each channel.
    """

    limits: Limits
    channels: Mapping[str, tuple[str, ...]]

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of a tick's values, in order."""

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics to subscribe to; each is the stream's name in its ticks."""

    @property
    def counters(self) -> Counter[str]:
        """Counts, by reason, of frames and records that gave no or a changed tick."""

    def url(self) -> str:
        """Give the address to connect to."""

    def opened(self) -> None:
        """Drop the state of the previous connection: a new one has opened."""

    def subscribe(self, topics: Sequence[str]) -> list[bytes]:
        """Give the frames that subscribe to some of the topics."""

    def receive(self, frame: bytes, received: int) -> list[Event | Notice]:
        """Read one frame, whatever its content; never raises.

        Args:
            frame: the bytes as they were received.
            received: time of receipt, ns.
        """


def open_venue(config: Config, name: str, at: str = "feed.options.venue") -> Venue:
    """Make the protocol of a venue.

    Args:
        config: configuration with channel, address and symbols; the class gets it.
        name: name of one of our venues, name that an installed package declares as an
            entry point of the group `sfm_stream.venues`, or `package.module:Class`.
        at: the key that holds the name, for errors.

    Raises:
        ConfigError: if there is no such venue, or it has no such channel.
    """
    kind = venue_class(name, at)
    options.read(config.feed, options.declared(kind, VenueOptions))
    venue: Venue = kind(config)
    return venue


def venue_class(name: str, at: str) -> Any:  # noqa: ANN401 any package's class
    """Find the class of a venue's protocol.

    Raises:
        ConfigError: if there is no such class, or it is not a venue's.
    """
    return class_of(name, at, OF_A_VENUE)


def is_venue(name: str) -> bool:
    """Say whether a name is the name of a venue's protocol."""
    try:
        venue_class(name, "")
    except ConfigError:
        return False
    return True
