"""The gateway: one address that answers for several daemons and stores no data.

/status  /readyz   all shards as one        /shards   each shard
/metrics           of all shards, with a label `shard`
/records           the websocket over all shards
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from sfm_stream.cluster.relay import Relay
from sfm_stream.cluster.whole import Answers, ask_all, whole
from sfm_stream.daemon.http.client import Answer, address_of, fetch
from sfm_stream.daemon.http.prometheus import Meters
from sfm_stream.daemon.http.server import (
    TEXT,
    Body,
    Pages,
    json_body,
    metrics_body,
    readiness_body,
    serving,
)
from sfm_stream.errors import AddressError
from sfm_stream.settings import Daemon

if TYPE_CHECKING:
    from websockets.http11 import Request

    from sfm_stream.daemon.status.model import Vitals

STOPS = (signal.SIGTERM, signal.SIGINT)


async def run(
    urls: Sequence[str],
    listen: str,
    hosts: Sequence[str],
    say: Callable[[str], None],
) -> None:
    """Serve a gateway until SIGTERM or SIGINT.

    Args:
        urls: addresses of the shards.
        listen: `host:port`, as `daemon.listen`.
        hosts: further host names that requests may use, as `daemon.hosts`.
        say: takes a line for people.

    Raises:
        ConfigError: if the address is invalid.
        AddressError: if the address cannot be used, or a shard's is no HTTP address.
    """
    told = asyncio.Event()
    for number in STOPS:
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with serving(listen, pages(urls, Daemon(listen=listen, hosts=tuple(hosts)))
                       ) as address:  # fmt: skip
        say(f"see {address}/status")
        await told.wait()


def pages(urls: Sequence[str], settings: Daemon) -> Pages:
    """Give the pages of a gateway.

    Raises:
        AddressError: if a shard's address is no HTTP address.
    """
    places = [address_of(url) for url in urls]

    async def all_of_them() -> Answers:
        return await asyncio.to_thread(ask_all, places)

    async def vitals() -> Vitals:
        return whole(await all_of_them()).vitals

    async def status(_: Request) -> Body:
        return await _answer(all_of_them, lambda answer: json_body(answer.vitals))

    async def readyz(_: Request) -> Body:
        return await _answer(all_of_them, lambda answer: readiness_body(answer.reasons))

    async def shards(_: Request) -> Body:
        return json_body(_each(await all_of_them()))

    async def metrics(request: Request) -> Body:
        found = await asyncio.to_thread(_metrics, places)
        return await asyncio.to_thread(metrics_body, found, request)

    async def index(_: Request) -> Body:
        there = [*(path for path in others if path != "/"), "/records (websocket)"]
        told = ["sfm-stream, several daemons as one", *there, "look at each of them:"]
        return HTTPStatus.OK, TEXT, "\n".join([*told, *places, ""]).encode()

    others = {
        "/": index, "/status": status, "/readyz": readyz, "/shards": shards,
        "/metrics": metrics,
    }  # fmt: skip
    return Pages(vitals, lambda: settings, Meters(), Relay(places), others)


async def _answer(
    ask: Callable[[], Awaitable[Answers]],
    tell: Callable[[Answer], Body],
) -> Body:
    try:
        return tell(whole(await ask()))
    except AddressError as error:  # no shard answers
        return readiness_body([str(error)])


def _each(answers: Answers) -> dict[str, Any]:
    """Summarise each shard."""
    return {
        url: {"ready": False, "reasons": [str(one)]}
        if isinstance(one, AddressError)
        else {
            "ready": not one.reasons, "reasons": one.reasons, "run": one.vitals.run,
            "state": one.vitals.state, "streams": len(one.vitals.streams),
            "ticks": one.vitals.ticks, "latency_us": one.vitals.latency_us,
        }
        for url, one in answers.items()
    }  # fmt: skip


def _metrics(places: Sequence[str]) -> list[Metric]:
    """Give the metrics of all shards, and for each whether it answers."""
    with ThreadPoolExecutor(len(places)) as threads:
        texts = dict(zip(places, threads.map(_metrics_of, places), strict=True))
    up = Metric("sfm_stream_shard_up", "1 while the shard answers", "gauge")
    found = {up.name: up}
    for place, text in texts.items():
        up.add_sample(up.name, {"shard": place}, float(bool(text)))
        for metric in _labelled(text, place):
            if metric.name in found:
                found[metric.name].samples += metric.samples
            else:
                found[metric.name] = metric
    return list(found.values())


def _metrics_of(place: str) -> str:
    try:
        return fetch(f"{place}/metrics").decode()
    except AddressError:
        return ""


def _labelled(text: str, place: str) -> Iterator[Metric]:
    """Parse metrics, and add the shard's address to their labels."""
    for family in text_string_to_metric_families(text):
        family.samples = [
            sample._replace(labels={**sample.labels, "shard": place})
            for sample in family.samples
        ]
        yield family
