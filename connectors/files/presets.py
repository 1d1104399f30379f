"""Settings for the exports of known sources, by the name of the layout.

Sources: Databento's "Market by price (MBP-1)", where prices count in 1e-9 and rtype is
always 1; Binance's page of its public data, with times in microseconds for spot since
2025; HistData's "Data Files - Detailed Specification", all in stored copies read on
2026-11-26. Tardis' columns are taken from files in public repositories; its own page
was not read. MetaTrader's columns are taken from its exports.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from connectors.files.options import TextOptions
from sfm_stream.config import Config
from sfm_stream.errors import ConfigError

KLINES = ("open_time", "open", "high", "low", "close", "volume", "close_time",
          "quote_volume", "count", "taker_buy_volume", "taker_buy_quote_volume",
          "ignore")  # fmt: skip
TRADES = ("agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id",
          "transact_time", "is_buyer_maker", "is_best_match")  # fmt: skip
QUOTES = {"bid": "bid_price", "ask": "ask_price", "bid_qty": "bid_amount",
          "ask_qty": "ask_amount"}  # fmt: skip
BARS = ("open", "high", "low", "close")
BOOK = {"bid": "bid_px_00", "ask": "ask_px_00", "bid_qty": "bid_sz_00",
        "ask_qty": "ask_sz_00"}  # fmt: skip
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "binance-klines": {"time": "open_time", "names": KLINES, "separator": ","},
    "binance-aggtrades": {
        "time": "transact_time", "names": TRADES, "separator": ",",
        "fields": ("price", "quantity", "is_buyer_maker"),
    },
    "tardis-quotes": {
        "time": "timestamp", "time_unit": "us", "symbol": "symbol", "columns": QUOTES,
        "separator": ",", "fields": tuple(QUOTES),
    },
    "tardis-trades": {
        "time": "timestamp", "time_unit": "us", "symbol": "symbol", "separator": ",",
        "columns": {"price": "price", "qty": "amount"}, "fields": ("price", "qty"),
    },
    "databento-mbp-1": {
        "time": "ts_recv", "symbol": "symbol", "columns": BOOK, "separator": ",",
        "fields": tuple(BOOK), "scale": {"bid_px_00": 1e-9, "ask_px_00": 1e-9},
    },
    "mt4": {"time": ("date", "time"), "names": ("date", "time", *BARS, "volume"),
            "separator": ",", "header": False},
    "mt5": {"time": ("<DATE>", "<TIME>"), "separator": "\t",
            "columns": {name: f"<{name.upper()}>" for name in BARS}},
    "histdata": {"time": "time", "zone": "Etc/GMT+5", "header": False,
                 "names": ("time", "bid", "ask", "volume")},
}  # fmt: skip
"""Settings by layout. Histdata's times are Eastern Standard Time all year round."""
OTHER_WIDTHS: Mapping[str, Mapping[int, tuple[str, ...]]] = {
    "histdata": {6: ("time", *BARS, "volume")},
    "binance-aggtrades": {7: TRADES[:7]},
}
"""Names of the columns for files of a layout that have another number of columns."""


def applied(config: Config, options: TextOptions) -> tuple[Config, TextOptions]:
    """Apply the settings of the layout to all keys that have their default values."""
    keys = PRESETS.get(options.layout, {})
    feed, stream, own = (
        {k: v for k, v in keys.items() if k in type(table).__struct_fields__}
        for table in (config.feed, config.stream, options)
    )
    given = replace(
        config, feed=_with(config.feed, feed), stream=_with(config.stream, stream)
    )
    return given, _with(options, own)


def names(options: TextOptions, width: int) -> tuple[str, ...]:
    """Give names for the `width` columns of a file without a header, or no names."""
    others = OTHER_WIDTHS.get(options.layout, {})
    given = others.get(width, options.names)
    return given if len(given) == width else ()


def expect_use(options: TextOptions, width: int, *, named: bool) -> None:
    """Refuse the option `names` where it cannot be used.

    Args:
        options: holds the names.
        width: number of cells in a row.
        named: whether a header names the columns.

    Raises:
        ConfigError: if there is a header, or `width` is not the number of names.
    """
    count = len(options.names)
    if not count or options.layout:  # a layout knows files of several widths
        return
    at = "feed.options.names"
    if named:
        hint = (
            "feed.options.header = false says it has none, with skip = 1 it is passed"
        )
        raise ConfigError(at, "expected a file without a header, was one with it", hint)
    if count != width:
        raise ConfigError(at, f"expected a name for each of {width} cells, was {count}")


def _with(settings: Any, keys: Mapping[str, Any]) -> Any:  # noqa: ANN401 any table
    """Set those of the keys that have their default values."""
    defaults = {f.name: f.default for f in msgspec.structs.fields(type(settings))}
    unset = {
        key: value
        for key, value in keys.items()
        if getattr(settings, key) in (defaults[key], {}, ())
    }
    return replace(settings, **unset)
