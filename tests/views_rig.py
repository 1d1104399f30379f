"""What tests of the views share: a watcher that has seen an engine at work."""

from __future__ import annotations

import json
import struct

import numpy as np

from sfm_stream.daemon.views.watcher import Watcher
from sfm_stream.events import Block, Tick
from sfm_stream.running import loops
from tests.daemon_rig import SECOND, START, engine_of

DELAY = 7 * 10**6
"""ns from a tick's time until it is received."""


def value_of(number):
    """A wave that a linear model learns at once, and a little noise."""
    return float(np.sin(number / 7) + 0.05 * np.sin(number * number))


def ticks_of(start, stop, streams="ab", value=value_of):
    """Ticks number start..stop, streams in turn, one second apart each."""
    made = []
    for number in range(start, stop):
        at = START + number // len(streams) * SECOND
        tick = Tick(
            streams[number % len(streams)], at, (value(number // len(streams)),),
            at + DELAY,
        )  # fmt: skip
        made.append(tick)
    return made


def refuse(error):
    raise error


def watcher_of(**tree):
    """Give an engine and its watcher, in which nothing may fail."""
    engine = engine_of(**{"target": {"horizons": [1, 5]}, **tree})
    return engine, Watcher(engine, failed=refuse)


def feed(engine, watcher, events, sizes=None):
    """Have an engine take events in batches, before its watcher's eyes."""
    at = 0
    for size in sizes or [64] * -(-len(events) // 64):
        block = Block.of(events[at : at + size], len(engine.fields))
        watcher.see(engine.seq, block)
        loops.step(block, engine, watcher.hear, watcher.hear)
        watcher.fold()
        at += size


def watched(total, **given):
    """Give a watcher that has seen so many ticks."""
    engine, watcher = watcher_of(**given)
    feed(engine, watcher, ticks_of(0, total))
    return watcher


def read_points(frame, hello):
    """Read a frame of points: its head, what is ahead, and the points."""
    kind, number, missed, begins = struct.unpack_from("<4I", frame)
    wide = 2 + 3 * len(hello["horizons"])
    ahead = np.frombuffer(frame, "<f8", wide, 16)
    fields = hello["point"]["fields"]
    layout = np.dtype({
        "names": list(fields),
        "formats": [(form, tuple(shape)) for form, _, shape in fields.values()],
        "offsets": [offset for _, offset, _ in fields.values()],
        "itemsize": hello["point"]["size"],
    })  # fmt: skip
    points = np.frombuffer(frame, layout, number, 16 + 8 * wide)
    return (kind, missed, begins), ahead, points


def split(frames):
    """Give the JSON frames, merged, and the binary ones."""
    told, binary = {}, []
    for frame in frames:
        if isinstance(frame, str):
            told |= json.loads(frame)
        else:
            binary.append(frame)
    return told, binary
