"""Shards on a Ray cluster: one actor per shard, which runs the daemon.

Ray places the actors, and restarts an actor on another node when its node is lost; the
shard then continues from journal and checkpoint on the storage that all nodes share. No
tick passes through a Ray call. An actor of a lost node may still be alive: its epoch
fences it like any other process. Ray is imported only when a cluster is used.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from sfm_stream.cluster import joining
from sfm_stream.daemon.process import Given, Process
from sfm_stream.daemon.status.model import State
from sfm_stream.errors import SFMStreamError

BETWEEN_S, PATIENCE_S = 1.0, 10.0
STOPPING_S = 60.0
"""Seconds beyond `daemon.drain` that a shard may take to stop."""
STOPS = (signal.SIGTERM, signal.SIGINT)
AWAY = "does not answer; it is started elsewhere if its node is lost"


class Told(NamedTuple):
    """The state of a daemon, as its actor reports it.

    Attributes:
        state: state of the daemon.
        address: address of its pages, or empty.
        problem: error that ended it, or empty.
        machine: name of the machine.
        node: Ray's name of the node.
        pid: id of the process.
    """

    state: str
    address: str
    problem: str
    machine: str
    node: str
    pid: int


class Holder:
    """An actor: it runs a daemon in a thread of its own, from its start to its end.

    Args:
        given: what the daemon needs to start.
    """

    def __init__(self, given: Given) -> None:
        self._given, self._problem = given, ""
        self._process: Process | None = None
        self._loop = asyncio.new_event_loop()
        self._living = threading.Thread(target=self._live, daemon=True, name="daemon")
        self._living.start()

    def told(self) -> Told:
        """Give the state of the daemon."""
        process = self._process
        state, address = (
            (State.STARTING, "")
            if process is None
            else (process.state, process.address)
        )
        node = joining.found().get_runtime_context().get_node_id()
        machine, pid = socket.gethostname(), os.getpid()
        return Told(state, address, self._problem, machine, node, pid)

    def stop(self) -> Told:
        """Stop the daemon in order, wait for its end, and give its last state."""
        if self._process is not None:
            self._loop.call_soon_threadsafe(self._process.stop)
        self._living.join()
        return self.told()

    def _live(self) -> None:
        try:
            self._loop.run_until_complete(self._lived())
        except Exception as error:  # noqa: BLE001 `told` reports any error
            known = isinstance(error, SFMStreamError)
            self._problem = str(error) if known else repr(error)

    async def _lived(self) -> None:
        self._process = Process(self._given, _say)
        await self._process.run()


def _say(line: str) -> None:
    """Print a line; Ray forwards it to the terminal that started the cluster."""
    print(line, flush=True)  # noqa: T201 an actor has no other log


@dataclass(slots=True)
class Placed:
    """A shard and its last known state.

    Attributes:
        actor: Ray's handle.
        said: the last message about it.
        last: the last state it reported, or None.
    """

    actor: Any
    said: str = ""
    last: Told | None = None


class Cluster:
    """The actors of all shards.

    Args:
        orders: what each shard needs to start, by number.
        address: address of Ray; empty: start it on this machine.
        say: takes a line for people.
        options: options of each actor; without any, it takes one processor.

    Raises:
        ConfigError: if Ray is not installed, or no cluster is at the address.
    """

    def __init__(
        self,
        orders: Mapping[int, Given],
        address: str,
        say: Callable[[str], None],
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._ray, self._say = joining.joined(address), say
        kind = self._ray.remote(Holder).options(
            max_restarts=-1,
            max_task_retries=0,  # calls to a lost actor are not repeated
            max_concurrency=2,  # `told` must answer while `stop` runs
            scheduling_strategy="SPREAD",
            **(options or {"num_cpus": 1}),
        )
        self.shards = {n: Placed(kind.remote(given)) for n, given in orders.items()}
        self._drains = [given.config.daemon.drain.seconds for given in orders.values()]

    def look(self) -> None:
        """Ask every shard for its state, report changes, and restart ended shards."""
        asked = {n: one.actor.told.remote() for n, one in self.shards.items()}
        for number, answer in asked.items():
            self._note(number, answer)

    def addresses(self) -> Sequence[str]:
        """Give the known addresses of the shards' pages."""
        lasts = (one.last for one in self.shards.values())
        return [last.address for last in lasts if last is not None and last.address]

    def stop(self) -> list[Told]:
        """Stop all shards in order; give the last states of those that answer."""
        stopping = [one.actor.stop.remote() for one in self.shards.values()]
        ended = []
        for answer in stopping:
            with suppress(self._ray.exceptions.RayError):
                patience = max(self._drains) + STOPPING_S
                ended.append(self._ray.get(answer, timeout=patience))
        return ended

    def _note(self, number: int, answer: Any) -> None:  # noqa: ANN401 Ray's reference
        placed = self.shards[number]
        try:
            told: Told = self._ray.get(answer, timeout=PATIENCE_S)
        except self._ray.exceptions.RayError:
            self._tell(number, AWAY)
            return
        placed.last = told
        where = f"process {told.pid} on {told.machine}"
        if told.problem:
            self._tell(number, f"ended: {told.problem}; starting anew")
            self._ray.kill(placed.actor, no_restart=False)
        else:
            self._tell(number, f"{told.state}, {where}, {told.address}".rstrip(", "))

    def _tell(self, number: int, said: str) -> None:
        placed = self.shards[number]
        if placed.said != said:
            placed.said = said
            self._say(f"shard {number}: {said}")


def run(
    orders: Mapping[int, Given], address: str, say: Callable[[str], None]
) -> list[Told]:
    """Keep shards running on a cluster until SIGTERM or SIGINT.

    Args:
        orders: what each shard needs to start, by number.
        address: address of Ray; empty: start it on this machine.
        say: takes a line for people.

    Returns:
        The last states of the shards that answered.

    Raises:
        ConfigError: if Ray is not installed, or no cluster is at the address.
    """
    told_to_stop = threading.Event()
    cluster = Cluster(orders, address, say)
    for number in STOPS:
        signal.signal(number, lambda *_: told_to_stop.set())
    while not told_to_stop.wait(BETWEEN_S):
        cluster.look()
    say("stopping all shards")
    begun = time.monotonic()
    ended = cluster.stop()
    say(f"{len(ended)} shards stopped after {time.monotonic() - begun:.1f} s")
    return ended
