"""Frames that are read together: cut out of bytes, and taken from a real socket."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from connectors.live.connection.frames import PAUSE, Gathering, Other, cut

LARGEST = 70_000
SIZES = st.one_of(st.integers(0, 3), st.sampled_from([125, 126, 65_535, 65_536]))
KINDS = st.sampled_from(
    [Opcode.TEXT, Opcode.BINARY, Opcode.CONT, Opcode.PING, Opcode.PONG]
)


RSV1 = 0x40


def written(opcode, payload, *, fin=True, rsv1=False, mask=False):
    first, *rest = Frame(opcode, payload, fin=fin).serialize(mask=mask)
    return bytes([first | RSV1 * rsv1, *rest])


def plain(opcode, fin, rsv1, mask):
    return opcode in (Opcode.TEXT, Opcode.BINARY) and fin and not rsv1 and not mask


@st.composite
def frames(draw):
    """Give a frame's bytes and what is to become of it."""
    opcode = draw(KINDS)
    is_data = opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
    payload = bytes(draw(SIZES) if is_data else draw(st.integers(0, 125)))
    fin = draw(st.booleans()) or not is_data
    rsv1, mask = draw(st.booleans()) and is_data, draw(st.booleans())
    data = written(opcode, payload, fin=fin, rsv1=rsv1, mask=mask)
    if plain(opcode, fin, rsv1, mask):
        return data, payload
    return data, Other(data, ends=is_data and fin)


@given(st.lists(frames(), max_size=4), st.data())
def test_bytes_cut_anywhere_give_the_same_frames_in_order(made, data):
    whole = b"".join(part for part, _ in made)
    places = st.lists(st.integers(0, len(whole)), max_size=4)
    places = [0, *sorted(data.draw(places)), len(whole)]
    found, rest = [], b""
    for start, stop in pairwise(places):
        more, rest = cut(rest + whole[start:stop], LARGEST)
        found += more
    assert found == [wanted for _, wanted in made]
    assert rest == b""


@pytest.mark.parametrize("size", [LARGEST + 1, 2**40])
def test_a_frame_beyond_the_limit_is_not_waited_for(size):
    head = b"\x81\x7f" + size.to_bytes(8, "big")
    assert cut(b"\x81\x01a" + head + b"xyz", LARGEST) == (
        [b"a", Other(head + b"xyz", ends=False)],
        b"",
    )


async def told_by(handler, **options):
    """Connect to a server; give all messages until it closes, by reads, and why."""
    reads = []
    kind = partial(Gathering, largest=LARGEST, pause=PAUSE)
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"ws://127.0.0.1:{port}"
        async with connect(url, create_connection=kind, max_size=LARGEST) as socket:
            try:
                while True:
                    reads.append(await socket.messages())
            except ConnectionClosed as why:
                return reads, why


def said(handler, **options):
    reads, why = asyncio.run(told_by(handler, **options))
    return [message for read in reads for message in read], why


async def mixed(socket):
    """Send what the library must assemble among what it need not."""
    await socket.send("a")
    await socket.send(["b", "c", "d"])
    await socket.send(b"e" * 300)
    await (await socket.ping())
    await socket.send("f" * 66_000)


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_messages_keep_their_order_whatever_frames_they_come_in(compression):
    found, why = said(mixed, compression=compression)
    assert found == [b"a", b"bcd", b"e" * 300, b"f" * 66_000]
    assert why.rcvd.code == 1000


def test_what_comes_together_is_one_read_and_what_was_sent_at_last_is_not_lost():
    async def burst(socket):
        socket.transport.writelines([written(Opcode.TEXT, b"%d" % i) for i in range(9)])

    reads, why = asyncio.run(told_by(burst))
    assert [m for read in reads for m in read] == [b"%d" % i for i in range(9)]
    assert len(reads) <= 2
    assert why.rcvd.code == 1000


def test_a_message_beyond_the_limit_ends_the_connection():
    async def large(socket):
        await socket.send("a")
        await socket.send("b" * (LARGEST + 1))
        await socket.wait_closed()

    found, why = said(large)
    assert found == [b"a"]
    assert why.sent.code == 1009


def test_what_follows_an_invalid_frame_is_not_taken():
    async def wrong(socket):
        invalid = b"\x83\x00"  # an opcode there is not
        after = written(Opcode.TEXT, b"b")
        socket.transport.write(written(Opcode.TEXT, b"a") + invalid + after)
        await socket.wait_closed()

    found, why = said(wrong)
    assert found == [b"a"]
    assert why.sent.code == 1002


def test_a_socket_nobody_takes_from_is_not_read():
    sent = 0

    async def endless(socket):
        nonlocal sent
        while True:
            await socket.send("a" * 60_000)
            sent += 1
            await asyncio.sleep(0)

    async def run():
        kind = partial(Gathering, largest=LARGEST, pause=PAUSE)
        async with serve(endless, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            url = f"ws://127.0.0.1:{port}"
            options = {"create_connection": kind, "compression": None}
            async with connect(url, **options) as socket:
                await socket.messages()
                before = -1
                while sent > before:  # until the server waits for room
                    before = sent
                    for _ in range(50):
                        await asyncio.sleep(0)
                taken = 0
                while taken <= before:
                    taken += len(await socket.messages())
                return before, taken

    before, taken = asyncio.run(run())
    assert 0 < before < taken


def test_a_refused_handshake_is_the_library_s_to_tell():
    async def run():
        def refuse(connection, _):
            return connection.respond(403, "no" * 100)

        kind = partial(Gathering, largest=LARGEST, pause=PAUSE)
        async with serve(mixed, "127.0.0.1", 0, process_request=refuse) as server:
            port = server.sockets[0].getsockname()[1]
            await connect(f"ws://127.0.0.1:{port}", create_connection=kind)

    with pytest.raises(Exception, match="HTTP 403"):
        asyncio.run(run())
