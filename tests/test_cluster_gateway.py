from __future__ import annotations

import asyncio
import json
import re
import subprocess
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect

from sfm_stream.cluster import gateway
from sfm_stream.daemon.http.server import serving
from sfm_stream.errors import AddressError
from sfm_stream.settings import Daemon
from tests.daemon_web import asked, forecasts, lines, mixed, served, served_apart
from tests.shard_rig import command
from tests.vitals_rig import WELL, vitals

OTHER = vitals(run="runs/other", streams={}, ticks=50)
ABSENT = "http://127.0.0.1:1"
WANT_ALL = '{"streams": [], "records": []}'


@asynccontextmanager
async def gathered(*urls):
    """A gateway over some addresses; gives its own."""
    settings = Daemon(listen="127.0.0.1:0")
    async with serving(settings.listen, gateway.pages(urls, settings)) as url:
        yield url


def page(path, *urls, **given):
    async def run():
        async with gathered(*urls) as url:
            return await asked(url, path, **given)

    status, fields, body = asyncio.run(run())
    return status, fields["Content-Type"], body.decode()


def test_pages_tell_all_shards_as_one_and_each_of_them():
    with served_apart() as one, served_apart(ask=lambda: OTHER) as other:
        status, _, told = page("/status", one, other)
        assert (status, json.loads(told)["ticks"]) == (200, 1_050)
        ready = page("/readyz", one, other)
        each = json.loads(page("/shards", one, other, method="GET")[2])
    assert (ready[0], json.loads(ready[2])["ready"]) == (200, True)
    assert {url: (shard["run"], shard["ticks"]) for url, shard in each.items()} == {
        one: ("runs/venue", 1_000),
        other: ("runs/other", 50),
    }


def test_a_shard_that_is_away_is_said_everywhere():
    with served_apart() as one:
        status, _, told = page("/readyz", one, ABSENT)
        each = json.loads(page("/shards", one, ABSENT)[2])
        metrics = page("/metrics", one, ABSENT)[2]
    assert status == 503
    assert ABSENT in json.loads(told)["reasons"][0]
    assert (each[one]["ready"], each[ABSENT]["ready"]) == (True, False)
    assert f'sfm_stream_shard_up{{shard="{one}"}} 1.0' in metrics
    assert f'sfm_stream_shard_up{{shard="{ABSENT}"}} 0.0' in metrics


def test_without_any_shard_there_is_an_answer_too():
    assert page("/status", ABSENT)[0] == 503
    assert page("/readyz", ABSENT)[0] == 503
    assert page("/healthz", ABSENT)[0] == 200
    assert "/shards" in page("/", ABSENT)[2]


def test_a_browser_is_shown_the_way_to_the_page_of_each_shard():
    async def run():
        async with gathered(ABSENT) as url:
            return await asked(url, "/", "Accept: text/html")

    _, fields, body = asyncio.run(run())
    assert fields["Content-Type"].startswith("text/plain")
    assert body.decode().endswith(f"look at each of them:\n{ABSENT}\n")


def samples(text):
    """Give the samples of a page of metrics: name and labels, value."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name not in found, "a sample stands there twice"
            found[name] = value
    return found


def test_metrics_of_all_shards_are_theirs_with_a_label():
    with served_apart() as one, served_apart(ask=lambda: OTHER) as other:
        _, kind, text = page("/metrics", one, other)
        own = {}
        for url in (one, other):
            _, _, body = asyncio.run(asked(url, "/metrics"))
            own[url] = samples(body.decode())
    assert kind.startswith("text/plain")
    found = samples(text)
    for url, expected in own.items():
        here = {n: v for n, v in found.items() if f'shard="{url}"' in n}
        bare = {re.sub(r',?shard="[^"]*"', "", n): v for n, v in here.items()}
        bare = {n.replace("{}", "").replace("{,", "{"): v for n, v in bare.items()}
        bare.pop("sfm_stream_shard_up")
        assert bare == expected
    assert text.count("# TYPE sfm_stream_ticks_total") == 1


def test_an_invalid_address_is_refused():
    with pytest.raises(AddressError, match="expected an http address"):
        gateway.pages(["ftp://here"], Daemon())


def test_the_websocket_brings_the_records_of_all_shards():
    async def run():
        async with (
            served() as (first, one),
            served() as (second, other),
            gathered(one, other) as url,
            connect(f"ws{url.removeprefix('http')}/records") as client,
        ):
            await client.send(WANT_ALL)
            told = [await client.recv() for _ in range(2)]
            first.publish(forecasts(0, 3))
            second.publish(mixed(10))
            said = []
            while len(said) < 5:
                said += lines([await client.recv()])
            return lines(told), said

    told, said = asyncio.run(run())
    assert [list(line) for line in told] == [["subscribed"], ["subscribed"]]
    assert sorted((line["seq"], line["type"]) for line in said) == [
        (0, "forecast"), (1, "forecast"), (2, "forecast"),
        (10, "forecast"), (11, "rejected"),
    ]  # fmt: skip


def test_the_command_serves_until_it_is_told_to_stop():
    with served_apart() as one:
        process = command(
            "gateway", one, "--listen", "127.0.0.1:0", stderr=subprocess.PIPE
        )
        line = process.stderr.readline()
        url = line.split()[-1].removesuffix("/status")
        status, _, body = asyncio.run(asked(url, "/status"))
        process.terminate()
        assert process.wait(60) == 0
        process.stderr.close()
    assert (status, json.loads(body)["run"]) == (200, WELL.run)


def test_an_odd_wish_for_a_type_is_answered_as_a_bad_request():
    async def run():
        async with gathered(ABSENT) as url:
            odd = "Accept: application/openmetrics-text; version=zzz"
            return await asked(url, "/metrics", odd)

    status, _, body = asyncio.run(run())
    assert (status, body[:8]) == (400, b"expected")
