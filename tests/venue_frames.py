"""Frames as each venue sends them, for the tests of what holds for all venues.

Made after the venues' documentation and recorded messages. `TICKS` gives the i-th frame
of a channel, of which each holds one tick; candles finish one tick later where the
venue does not say that they are finished.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

from connectors.venues.protocol import Alive
from sfm_stream.config import from_tree
from tests.feed_tables import feed_table

NOW = 1_723_161_256_500_000_000
STAMP = 1_723_161_255_313  # ms, before NOW
MINUTE = 60_000
START = 1_723_131_240_000  # ms, a full minute, and 500 of them before NOW


def dumps(tree):
    return json.dumps(tree, separators=(",", ":")).encode()


def iso(ms):
    when = datetime.fromtimestamp(ms / 1000, UTC)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03}000Z"


def price(i):
    return f"{100 + i % 7}.25"


# Each: stream name, and the fields in the order of a tick.


def binance_quote(i):
    return {"stream": "btcusdt@bookTicker", "data": {
        "u": 50093239212 + i, "s": "BTCUSDT", "b": price(i), "B": "3.78826000",
        "a": "200.50", "A": "1.54698000"}}  # fmt: skip


def usdm_quote(i):
    quote = binance_quote(i)
    quote["data"] |= {"e": "bookTicker", "T": STAMP + i, "E": STAMP + i}
    return quote


def binance_trade(i):
    return {"stream": "btcusdt@trade", "data": {
        "e": "trade", "E": STAMP + i, "T": STAMP + i, "s": "BTCUSDT", "t": 100 + i,
        "p": price(i), "q": "0.006", "X": "MARKET", "m": False}}  # fmt: skip


def binance_agg_trade(i):
    return {"stream": "btcusdt@aggTrade", "data": {
        "e": "aggTrade", "E": STAMP + i, "a": 10 + i, "s": "BTCUSDT", "p": price(i),
        "q": "0.006", "f": 100 + 2 * i, "l": 101 + 2 * i, "T": STAMP + i,
        "m": False}}  # fmt: skip


def binance_kline(i):
    start = START + i * MINUTE
    return {"stream": "btcusdt@kline_1m", "data": {
        "e": "kline", "E": start + MINUTE, "s": "BTCUSDT", "k": {
            "t": start, "T": start + MINUTE - 1, "s": "BTCUSDT", "i": "1m", "f": 100,
            "L": 200, "o": price(i), "c": "2.0", "h": "3.0", "l": "1.0", "v": "1000",
            "n": 100, "x": True, "q": "1.0"}}}  # fmt: skip


def coinbase_match(i):
    return {"type": "match", "trade_id": 280232 + i, "side": "sell", "size": "0.006",
            "maker_order_id": "2a0da34e", "taker_order_id": "3c82abaa",
            "price": price(i), "product_id": "BTC-USD", "sequence": 177100030 + 3 * i,
            "time": iso(STAMP + i)}  # fmt: skip


def coinbase_ticker(i):
    return {"type": "ticker", "sequence": 333938798 + i, "product_id": "BTC-USD",
            "price": "150", "open_24h": "14.6647", "best_bid": price(i),
            "best_bid_size": "3.78826000", "best_ask": "200.50",
            "best_ask_size": "1.54698000", "side": "buy", "time": iso(STAMP + i),
            "trade_id": 881613 + i, "last_size": "0.04"}  # fmt: skip


def advanced(channel, number, kind, key, records):
    return {"channel": channel, "client_id": "", "timestamp": iso(STAMP + number),
            "sequence_num": number, "events": [{"type": kind, key: records}]}  # fmt: skip


def advanced_trade(i):
    return advanced("market_trades", i, "update", "trades", [
        {"trade_id": str(995098700 + i), "product_id": "BTC-USD", "price": price(i),
         "size": "0.006", "side": "BUY", "time": iso(STAMP + i)}])  # fmt: skip


def advanced_ticker(i):
    return advanced("ticker", i, "update", "tickers", [
        {"type": "ticker", "product_id": "BTC-USD", "price": "68900.50",
         "best_bid": price(i), "best_bid_quantity": "3.78826000", "best_ask": "200.50",
         "best_ask_quantity": "1.54698000"}])  # fmt: skip


def advanced_candle(i):
    return advanced("candles", i, "update", "candles", [
        {"start": str(1_722_891_000 + 300 * i), "high": "3.0", "low": "1.0",
         "open": price(i), "close": "2.0", "volume": "1000",
         "product_id": "BTC-USD"}])  # fmt: skip


def kraken_trade(i):
    return {"channel": "trade", "type": "update", "data": [
        {"symbol": "BTC/USD", "side": "buy", "price": float(price(i)), "qty": 0.006,
         "ord_type": "limit", "trade_id": 10218208 + i,
         "timestamp": iso(STAMP + i)}]}  # fmt: skip


def kraken_ticker(i):
    return {"channel": "ticker", "type": "update", "data": [
        {"symbol": "BTC/USD", "bid": float(price(i)), "bid_qty": 3.78826, "ask": 200.5,
         "ask_qty": 1.54698, "last": 105899.4, "timestamp": iso(STAMP + i)}]}  # fmt: skip


def kraken_candle(i):
    return {"channel": "ohlc", "type": "update", "data": [
        {"symbol": "BTC/USD", "interval": 1, "interval_begin": iso(START + i * MINUTE),
         "open": float(price(i)), "high": 3.0, "low": 1.0, "close": 2.0,
         "volume": 1000.0, "vwap": 2.0, "trades": 12}]}  # fmt: skip


def okx(channel, record):
    return {"arg": {"channel": channel, "instId": "BTC-USDT"}, "data": [record]}


def okx_trade(i, channel="trades", more=(("count", "1"),)):
    return okx(channel, {
        "instId": "BTC-USDT", "tradeId": str(338476307 + i), "px": price(i),
        "sz": "0.006", "side": "buy", "ts": str(STAMP + i), **dict(more)})  # fmt: skip


def okx_ticker(i):
    return okx("tickers", {
        "instType": "SPOT", "instId": "BTC-USDT", "last": "9999.99", "lastSz": "0.1",
        "askPx": "200.50", "askSz": "1.54698", "bidPx": price(i), "bidSz": "3.78826",
        "ts": str(STAMP + i)})  # fmt: skip


def okx_book(i):
    return okx("bbo-tbt", {
        "asks": [["200.50", "1.54698", "0", "13"]],
        "bids": [[price(i), "3.78826", "0", "12"]],
        "ts": str(STAMP + i), "seqId": 123456 + i})  # fmt: skip


def okx_candle(i):
    row = [str(START + i * MINUTE), price(i), "3.0", "1.0", "2.0", "1000", "5", "6"]
    return {"arg": {"channel": "candle1m", "instId": "BTC-USDT"},
            "data": [[*row, "1"]]}  # fmt: skip


def bybit_trade(i):
    return {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": STAMP + i, "data": [
        {"T": STAMP + i, "s": "BTCUSDT", "S": "Buy", "v": "0.006", "p": price(i),
         "L": "PlusTick", "i": f"20f43950-d8dd-5b31-9112-{i:012}", "BT": False,
         "seq": 1783284617 + i}]}  # fmt: skip


def bybit_book(i):
    return {"topic": "orderbook.1.BTCUSDT", "type": "snapshot", "ts": STAMP + i, "data": {
        "s": "BTCUSDT", "b": [[price(i), "3.78826"]], "a": [["200.50", "1.54698"]],
        "u": 7003305 + i, "seq": 50193540681 + i}}  # fmt: skip


def bybit_ticker(i):
    return {"topic": "tickers.BTCUSDT", "type": "snapshot", "data": {
        "symbol": "BTCUSDT", "lastPrice": "66666.60", "bid1Price": price(i),
        "bid1Size": "3.78826", "ask1Price": "200.50", "ask1Size": "1.54698"},
        "cs": 9532239429 + i, "ts": STAMP + i}  # fmt: skip


def bybit_candle(i):
    start = START + i * MINUTE
    return {"topic": "kline.1.BTCUSDT", "data": [
        {"start": start, "end": start + MINUTE - 1, "interval": "1", "open": price(i),
         "close": "2.0", "high": "3.0", "low": "1.0", "volume": "1000",
         "turnover": "34666.4005", "confirm": True, "timestamp": start + MINUTE}],
        "ts": start + MINUTE, "type": "snapshot"}  # fmt: skip


def bitstamp_trade(i):
    return {"data": {
        "id": 216000477 + 2 * i, "timestamp": str(STAMP // 1000), "amount": 0.006,
        "amount_str": "0.00600000", "price": float(price(i)), "price_str": price(i),
        "type": 0, "microtimestamp": str((STAMP + i) * 1000),
        "buy_order_id": 1443875737346049, "sell_order_id": 1443875731320832},
        "channel": "live_trades_btcusd", "event": "trade"}  # fmt: skip


def bitstamp_book(i):
    return {"data": {
        "timestamp": str(STAMP // 1000), "microtimestamp": str((STAMP + i) * 1000),
        "bids": [[price(i), "3.78826"], ["1.0", "9"]],
        "asks": [["200.50", "1.54698"], ["300", "9"]]},
        "channel": "order_book_btcusd", "event": "data"}  # fmt: skip


def sensor(i):
    return {"kind": "reading", "sensor": "hall-3", "at": iso(STAMP + i), "seq": 7 + i,
            "values": {"celsius": 21.5 + i % 7, "door": "open"}}  # fmt: skip


SENSOR = {
    "feed": {
        "time": "at", "symbol": "sensor",
        "columns": {"celsius": "values.celsius", "door": "values.door"},
        "options": {
            "url": "wss://sensors.example/live",
            "subscribe": ['{"ask":"readings","of":{topics}}', '{"ask":"beats"}'],
            "match": {"kind": "reading"}, "id": "seq", "contiguous": True,
            "codes": {"door": {"open": 1, "closed": 0}},
            "acknowledged": {"kind": "taken"}, "refused": {"kind": ["refused", "no"]},
            "topic": "of", "alive": {"kind": "beat"}, "departing": {"kind": "bye"},
        },
    }
}  # fmt: skip

# For each venue and channel: what gives its frames, and whether the first is history.
TICKS = {
    ("binance", "bookTicker"): binance_quote,
    ("binance", "trade"): binance_trade,
    ("binance", "aggTrade"): binance_agg_trade,
    ("binance", "kline_1m"): binance_kline,
    ("binance-usdm", "bookTicker"): usdm_quote,
    ("binance-usdm", "trade"): binance_trade,
    ("coinbase", "matches"): coinbase_match,
    ("coinbase", "ticker"): coinbase_ticker,
    ("coinbase-advanced", "market_trades"): advanced_trade,
    ("coinbase-advanced", "ticker"): advanced_ticker,
    ("coinbase-advanced", "candles"): advanced_candle,
    ("kraken", "trade"): kraken_trade,
    ("kraken", "ticker"): kraken_ticker,
    ("kraken", "ohlc-1"): kraken_candle,
    ("okx", "trades"): okx_trade,
    ("okx", "tickers"): okx_ticker,
    ("okx", "bbo-tbt"): okx_book,
    ("okx", "candle1m"): okx_candle,
    ("bybit", "publicTrade"): bybit_trade,
    ("bybit", "orderbook.1"): bybit_book,
    ("bybit", "tickers"): bybit_ticker,
    ("bybit", "kline.1"): bybit_candle,
    ("bitstamp", "live_trades"): bitstamp_trade,
    ("bitstamp", "order_book"): bitstamp_book,
    ("json", ""): sensor,
}

# For each venue: a channel, a symbol, and a frame of each kind of notice.
ANSWERS = {
    "binance": {
        "symbol": "btcusdt",
        "subscribed": {"result": None, "id": 1},
        "refused": {"error": {"code": 2, "msg": "Invalid: btcusdt@trade"}, "id": 1},
        "departing": {"stream": "!serverShutdown", "data": {
            "e": "serverShutdown", "E": STAMP}},
    },
    "coinbase": {
        "symbol": "BTC-USD", "channel": "matches",
        "subscribed": {"type": "subscriptions", "channels": [
            {"name": "heartbeat", "product_ids": ["ETH-USD"]},
            {"name": "matches", "product_ids": ["BTC-USD"]}]},
        "refused": {"type": "error", "message": "Failed to subscribe",
                    "reason": "BTC-USD is not a valid product"},
        "alive": {"type": "heartbeat", "sequence": 90, "last_trade_id": 20,
                  "product_id": "BTC-USD", "time": iso(STAMP)},
    },
    "coinbase-advanced": {
        "symbol": "BTC-USD", "channel": "market_trades",
        "subscribed": {"channel": "subscriptions", "timestamp": iso(STAMP),
                       "sequence_num": 0, "events": [
                           {"subscriptions": {"level2": ["ETH-USD"],
                                              "market_trades": ["BTC-USD"]}}]},
        "refused": {"type": "error", "message": "BTC-USD is not a product"},
        "alive": {"channel": "heartbeats", "timestamp": iso(STAMP), "sequence_num": 0,
                  "events": [{"current_time": "2026-04-07 14:30:10.000000000 +00:00",
                              "heartbeat_counter": 42}]},
    },
    "kraken": {
        "symbol": "BTC/USD", "channel": "trade",
        "subscribed": {"method": "subscribe", "result": {
            "channel": "trade", "symbol": "BTC/USD", "snapshot": True},
            "success": True, "req_id": 1},
        "refused": {"error": "Currency pair not supported BTC/USD", "success": False,
                    "method": "subscribe", "symbol": "BTC/USD"},
        "alive": {"channel": "heartbeat"},
    },
    "okx": {
        "symbol": "BTC-USDT", "channel": "trades",
        "subscribed": {"event": "subscribe", "arg": {
            "channel": "trades", "instId": "BTC-USDT"}, "connId": "a4d3ae55"},
        "refused": {"event": "error", "code": "60018", "connId": "a4d3ae55",
                    "msg": "channel:trades,instId:BTC-USDT doesn't exist"},
        "alive": b"pong",
        "departing": {"event": "notice", "code": "64008", "connId": "a4d3ae55",
                      "msg": "The connection will soon be closed. Please reconnect."},
    },
    "bybit": {
        "symbol": "BTCUSDT", "channel": "publicTrade",
        "subscribed": {"success": True, "ret_msg": "subscribe", "conn_id": "2324d924",
                       "req_id": "1", "op": "subscribe"},
        "refused": {"success": False, "conn_id": "2324d924", "op": "subscribe",
                    "ret_msg": "error:handler not found,topic:publicTrade.BTCUSDT"},
        "alive": {"success": True, "ret_msg": "pong", "conn_id": "x", "op": "ping"},
    },
    "bitstamp": {
        "symbol": "btcusd", "channel": "live_trades",
        "subscribed": {"event": "bts:subscription_succeeded",
                       "channel": "live_trades_btcusd", "data": {}},
        "refused": {"event": "bts:error", "channel": "live_trades_btcusd", "data": {
            "code": 4009, "message": "Bad channel."}},
        "alive": {"event": "bts:heartbeat", "channel": "", "data": {"status": "success"}},
        "departing": {"event": "bts:request_reconnect", "channel": "", "data": ""},
    },
    "json": {
        "symbol": "hall-3",
        "subscribed": {"kind": "taken", "of": ["hall-3"]},
        "refused": {"kind": "refused", "of": "hall-3"},
        "alive": {"kind": "beat"},
        "departing": {"kind": "bye"},
    },
}  # fmt: skip
ANSWERS["binance-usdm"] = ANSWERS["binance"]


def settings_of(venue, channel="", symbols=()):
    """Give the configuration of a venue's channel."""
    tree = (
        {key: dict(table) for key, table in SENSOR.items()} if venue == "json" else {}
    )
    feed = feed_table(**tree.get("feed", {}), channel=channel)
    return from_tree({"feed": feed, "stream": {"symbols": list(symbols)}})


def tick_of(said):
    """Give the tick within what was said of one frame."""
    (one,) = said
    return getattr(one, "tick", one)


def news(said):
    """Leave out what only says that nothing has changed."""
    return [x for x in said if not (isinstance(x, Alive) and x.topic)]


def frames(venue, channel, count):
    """Give the first frames of a channel."""
    return [dumps(TICKS[venue, channel](i)) for i in range(count)]
