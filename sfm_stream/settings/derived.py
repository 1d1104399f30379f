"""Names of the values derived from the fields of a tick, and the fields they need."""

from __future__ import annotations

from collections.abc import Mapping

MADE_OF: Mapping[str, tuple[str, ...]] = {
    "mid": ("bid", "ask"),
    "spread": ("bid", "ask"),
    "imbalance": ("bid_qty", "ask_qty"),
    "microprice": ("bid", "ask", "bid_qty", "ask_qty"),
}
