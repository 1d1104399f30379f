"""The options that describe the frames of a JSON feed."""

from __future__ import annotations

from typing import Annotated

from connectors.venues.options import VenueOptions
from sfm_stream.settings.sections import doc
from sfm_stream.settings.units import Duration

Match = dict[str, str | tuple[str, ...]]


class Frames(VenueOptions, frozen=True):
    """A description of the frames of any JSON feed.

    A path is a chain of keys and positions, joined by dots. It starts at the record, or
    at the frame if it begins with `$.`. A condition is a table that maps paths to the
    expected text, a list of accepted texts, or `*` for any value; all its lines must
    hold.
    """

    subscribe: Annotated[
        tuple[str, ...],
        doc("frames sent: `{topic}` makes one per symbol, `{topics}` one with a list"),
    ] = ()
    match: Annotated[Match, doc("condition of the frames that hold ticks")] = {}
    records: Annotated[
        str, doc("path of the record in a frame, or of a list of them")
    ] = ""
    codes: Annotated[
        dict[str, dict[str, float]], doc("field = numbers its texts stand for")
    ] = {}
    name: Annotated[
        str, doc("regular expression; its first group is the stream's name")
    ] = ""
    id: Annotated[str, doc("path of a rising id; repeated ids are dropped")] = ""
    contiguous: Annotated[bool, doc("whether a missing id means a lost tick")] = False
    history: Annotated[
        Match, doc("condition of frames from before the subscription")
    ] = {}
    repeats: Annotated[
        bool, doc("whether the first tick after connecting repeats an old one")
    ] = False
    acknowledged: Annotated[
        Match, doc("condition of answers that confirm a subscription")
    ] = {}
    refused: Annotated[
        Match, doc("condition of answers that refuse a subscription")
    ] = {}
    topic: Annotated[str, doc("path of the symbol such an answer is about")] = ""
    alive: Annotated[Match, doc("condition of heartbeats and pongs")] = {}
    pong: Annotated[str, doc("the exact text of a pong")] = ""
    departing: Annotated[
        Match, doc("condition of warnings that the connection will be closed")
    ] = {}
    ping: Annotated[str, doc("frame sent to keep a connection open; empty: none")] = ""
    ping_every: Annotated[Duration, doc("time between these frames")] = Duration("20s")
