"""Pace of every venue's protocol beside msgspec's typed decoding of the same frames.

    python -m tests.venue_pace

prints microseconds per frame and the ratio. The least of some repeats, taken in turns,
is what a busy machine disturbs least.
"""

from __future__ import annotations

import sys
import time

from connectors.venues.protocol import open_venue
from tests.venue_frames import NOW, TICKS, frames, settings_of

FRAMES = 400
REPEATS = 200


def seconds(call, protocol):
    start = time.thread_time()
    call(protocol)
    return time.thread_time() - start


def pace(venue, channel):
    """Give microseconds per frame: typed decoding, and the protocol."""
    texts, settings = frames(venue, channel, FRAMES), settings_of(venue, channel)

    def decoded(protocol):
        decode = protocol._decode
        for text in texts:
            decode(text)

    def read(protocol):
        receive = protocol.receive
        for text in texts:
            receive(text, NOW)

    taken = [
        [seconds(each, open_venue(settings, venue)) for each in (decoded, read)]
        for _ in range(REPEATS)
    ]
    return [min(x) / FRAMES * 1e6 for x in zip(*taken, strict=True)]


def main():
    sys.stdout.write(f"{'venue':18} {'channel':14} typed us events us  ratio\n")
    for venue, channel in TICKS:
        typed, ours = pace(venue, channel)
        sys.stdout.write(
            f"{venue:18} {channel:14} {typed:8.2f} {ours:9.2f} {ours / typed:6.1f}\n"
        )


if __name__ == "__main__":
    main()
