"""The base class, the types and the special values of the tables of settings."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from sfm_stream.settings.units import Duration

Positive = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0)]
Few = Meta(le=1_000_000)  # the square of a size must fit into 64 bits
NONE = Duration("")
PIPE = "-"
"""`feed.path` of a piped input."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration file."""


def doc(text: str) -> Meta:
    """Describe a key."""
    return Meta(description=text)
