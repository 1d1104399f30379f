"""What every venue offers: frames in, events and notices out; no socket, no clock.

A protocol is told when a connection has opened and what came through it. It says what
that means: events for the engine, and notices for whoever holds the connection. So the
same object reads a live socket, a recorded capture, and what a test makes up.
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
    """The venue has taken a subscription; empty for all that were asked for."""

    topic: str


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The venue has refused a subscription; the topic is empty if it did not say."""

    topic: str
    reason: str


class Alive(msgspec.Struct, frozen=True, gc=False):
    """A sign of life that is no data.

    Attributes:
        topic: that was told again as it stands; empty of a heartbeat or pong, which
            says that the connection stands and nothing of its data.
    """

    topic: str = ""


class Departing(msgspec.Struct, frozen=True, gc=False):
    """The venue is about to close this connection: open another one first."""

    reason: str


class History(msgspec.Struct, frozen=True, gc=False):
    """A tick from before the subscription, as snapshots hold; never forecast from."""

    tick: Tick


Notice: TypeAlias = Subscribed | Refused | Alive | Departing | History
NOTICES = (Subscribed, Refused, Alive, Departing, History)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue allows and expects of a connection; durations in seconds.

    Attributes:
        topics: most topics of one connection.
        characters: most characters of all topics of one connection, and how many a
            topic takes besides its name; or None.
        connects: most connections to a host, and in how long.
        messages: most frames sent on a connection, and in how long.
        lifetime: after which the venue cuts a connection, or None.
        ping: how often to send which frame to be kept, or None.
        quiet: a topic silent for longer is stale.
        compression: whether frames are worth deflating.
        largest: most bytes of a frame.
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
        limits: what the venue allows.
        channels: names of a tick's values, for each channel there is.
    """

    limits: Limits
    channels: Mapping[str, tuple[str, ...]]

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of a tick's values, in order."""

    @property
    def topics(self) -> tuple[str, ...]:
        """What is subscribed to: the names its ticks' streams will have."""

    @property
    def counters(self) -> Counter[str]:
        """What became no tick, or not as it came, by reason."""

    def url(self) -> str:
        """Give the address to connect to."""

    def opened(self) -> None:
        """Forget what belonged to the connection before: a new one stands."""

    def subscribe(self, topics: Sequence[str]) -> list[bytes]:
        """Give the frames that subscribe to some of the topics."""

    def receive(self, frame: bytes, received: int) -> list[Event | Notice]:
        """Read one frame, whatever it holds; never raises.

        Args:
            frame: as it came.
            received: when it reached us, ns.
        """


def open_venue(config: Config, name: str, at: str = "feed.options.venue") -> Venue:
    """Make the protocol of a venue.

    Args:
        config: called with; channel, address and symbols are in there.
        name: one of our own, one that an installed package declares as an entry point
            of the group `sfm_stream.venues`, or `package.module:Class` of anyone's.
        at: key that named it.

    Raises:
        ConfigError: if there is no such venue, or it has no such channel.
    """
    kind = venue_class(name, at)
    options.read(config.feed, options.declared(kind, VenueOptions))
    venue: Venue = kind(config)
    return venue


def venue_class(name: str, at: str) -> Any:  # noqa: ANN401 anyone's class
    """Find the class of a venue's protocol.

    Raises:
        ConfigError: if there is none, or it is none.
    """
    return class_of(name, at, OF_A_VENUE)


def is_venue(name: str) -> bool:
    """Say whether a name is that of a venue's protocol."""
    try:
        venue_class(name, "")
    except ConfigError:
        return False
    return True
