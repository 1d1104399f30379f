"""Options of every venue: its address, and the channel whose messages become ticks."""

from __future__ import annotations

from typing import Annotated

from sfm_stream.settings.sections import Section, doc

CHANNEL, URL = "feed.options.channel", "feed.options.url"
"""The keys that errors name."""


class VenueOptions(Section, frozen=True):
    """Options of a venue, live or recorded; a venue with more options extends these."""

    url: Annotated[str, doc("address of the venue; empty: its public one")] = ""
    channel: Annotated[
        str, doc("which messages are ticks; empty: the venue's best bid and ask")
    ] = ""
