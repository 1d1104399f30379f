"""The sinks of a live run: their names, their queues, and how a reload changes them."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from sfm_stream.notices import Say, warning
from sfm_stream.settings import Sink as Settings
from sfm_stream.sinks import Chosen, Delivery, expect_sinks, open_sink

if TYPE_CHECKING:
    from sfm_stream.config import Config

RECORDS = "records"
"""Name of the sink for the run's own records."""
OWN = Settings(kind="parquet", path=RECORDS)
SPILL = "spill"
"""Folder of the run for spilled records, which wait for a slow sink."""
SPILL_BYTES = 4


def named(config: Config) -> dict[str, Settings]:
    """Give the settings of a live run's sinks by name, its own records first.

    A name is made of kind and path.

    Raises:
        ConfigError: if there is no such sink, or two sinks share a path.
    """
    expect_sinks((OWN, *config.sink))
    found = {RECORDS: OWN}
    for settings in config.sink:
        place = settings.path or settings.kind
        found[f"{settings.kind} {place}".replace("/", "-")] = settings
    return found


class NamedSinks:
    """The open sinks of a live run, each behind a queue of its own.

    Args:
        sinks: the open sinks, by name.
        settings: their settings, by name.
        folder: folder of the run.
        experts: names of the experts.
        say: takes a line for the log.
        guard: raises `Fenced` if another process has taken the run.

    Attributes:
        deliveries: the queues by name; a new mapping after each change.
    """

    def __init__(
        self,
        sinks: Mapping[str, Chosen],
        settings: Mapping[str, Settings],
        folder: Path,
        experts: tuple[str, ...],
        say: Say,
        guard: Callable[[], None],
    ) -> None:
        self._folder, self._tables = folder, {"experts": experts}
        self._say, self._guard = say, guard
        # only for this process: a fenced process that wakes may still spill
        self._spill = folder / SPILL / secrets.token_hex(SPILL_BYTES)
        self._numbers = count()
        self.deliveries: Mapping[str, Delivery] = {}
        self._sinks: dict[str, Chosen] = {}
        self._settings: dict[str, Settings] = {}
        for name, sink in sinks.items():
            self._add(name, sink, settings[name])

    def obey(self, config: Config) -> list[str]:
        """Apply the sinks of another configuration; give the names of removed sinks.

        A sink of the same kind and path stays open; new settings apply to it after its
        queued records.

        Raises:
            SinkError: if a new sink cannot be opened; then no sink has changed.
            ConfigError: if there is no such sink, or two sinks share a path.
        """
        wanted = named(config)
        new = {name: s for name, s in wanted.items() if name not in self._settings}
        gone = [name for name in self._settings if name not in wanted]
        kept = [name for name in self._settings if name in wanted]
        opened = self._open_all(new)
        for name, sink in opened.items():
            self._add(name, sink, new[name])
        for name in kept:
            if wanted[name] != self._settings[name]:
                self._change(name, wanted[name])
        for name in gone:
            self._part_with(name, config.daemon.drain.seconds)
        return gone

    def close(self, seconds: float) -> None:
        """Deliver the queued records and close the sinks, within a total time."""
        end = time.monotonic() + seconds
        for name, delivery in self.deliveries.items():
            self._close(name, delivery, max(end - time.monotonic(), 0.0))

    def _open_all(self, wanted: Mapping[str, Settings]) -> dict[str, Chosen]:
        """Open sinks, all or none."""
        opened: dict[str, Chosen] = {}
        with ExitStack() as opening:
            for name, settings in wanted.items():
                sink = open_sink(settings, self._folder, self._tables, None)
                opened[name] = opening.enter_context(closing(sink))
            opening.pop_all()
        return opened

    def _add(self, name: str, sink: Chosen, settings: Settings) -> None:
        # only for this queue: an earlier one of the same sink may still be draining
        spill = self._spill / str(next(self._numbers))
        delivery = Delivery(name, sink, settings, spill, self._say, self._guard)
        self.deliveries = {**self.deliveries, name: delivery}
        self._sinks[name], self._settings[name] = sink, settings

    def _change(self, name: str, settings: Settings) -> None:
        delivery, sink = self.deliveries[name], self._sinks[name]
        self._settings[name] = settings
        delivery.obey(settings)
        # called in the sink's thread; records offered before are of the old choice
        delivery.mark(lambda _: sink.choose(settings.records, settings.streams))

    def _part_with(self, name: str, drain: float) -> None:
        """Remove a sink; a thread closes it, because it may be blocked."""
        rest = dict(self.deliveries)
        delivery = rest.pop(name)
        self.deliveries = rest
        del self._sinks[name], self._settings[name]
        close = partial(self._close, name, delivery, drain)
        threading.Thread(target=close, name=f"closing {name}", daemon=True).start()

    def _close(self, name: str, delivery: Delivery, seconds: float) -> None:
        if not delivery.close(seconds):
            told = f"sink {name} was left behind: the journal has the rest"
            self._say(warning(told))
