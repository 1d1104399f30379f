"""Measures a live feed end to end on loopback: `python -m tests.live_pace [messages]`.

A process of its own writes trades encoded beforehand as fast as they are taken; what is
counted is events out of the feed, from the first one to the last.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import time

from websockets.asyncio.server import serve

from sfm_stream.events import Gap
from tests.live_rig import live, trade

TOGETHER = 500
SHORT = 125
ROOM = 2**20


def encoded(count):
    """Give trades as websocket frames, some hundred in each piece."""
    frames = [trade(number) for number in range(1, count + 1)]
    assert min(map(len, frames)) > SHORT
    texts = [b"\x81\x7e" + len(f).to_bytes(2, "big") + f for f in frames]
    starts = range(0, count, TOGETHER)
    return [b"".join(texts[start : start + TOGETHER]) for start in starts]


def venue(count, address):
    """Serve one client, and tell where."""

    async def run():
        pieces, done = encoded(count), asyncio.Event()

        async def write(socket):
            await socket.recv()
            await socket.send('{"result":null,"id":1}')
            for piece in pieces:
                socket.transport.write(piece)
                while socket.transport.get_write_buffer_size() > ROOM:
                    await asyncio.sleep(0.0005)
            await socket.close()
            done.set()

        async with serve(write, "127.0.0.1", 0, compression=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            address.put(f"ws://127.0.0.1:{port}")
            await done.wait()

    asyncio.run(run())


async def measure(url):
    """Give the number of events, and wall and processor seconds."""
    count, begun = 0, None
    async for event in live(url).events():
        if begun is None:
            begun = time.perf_counter(), time.process_time()
        if isinstance(event, Gap):
            break
        count += 1
    return count, time.perf_counter() - begun[0], time.process_time() - begun[1]


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    address = multiprocessing.Queue()
    serving = multiprocessing.Process(target=venue, args=(count, address))
    serving.start()
    events, wall, busy = asyncio.run(measure(address.get()))
    serving.join()
    assert events == count
    print(f"{events / wall:,.0f} messages/s, {events / busy:,.0f} per second of a core")  # noqa: T201 a script


if __name__ == "__main__":
    main()
