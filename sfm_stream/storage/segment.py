"""A segment, one file of the journal: a head, then one entry per event or block.

    head    magic 8 bytes, seed 32 bytes, crc32 u32
    note    number of bytes of entries known to be on disk u64, crc32 u32
    entry   length u32, crc32 u32, payload in MessagePack: a map is an event, an array
            a block as `blocks.pack` writes it

All numbers are little endian. The seed is the mark at the end of the segment before. A
mark is the SHA-256 of the seed and of all entries since, so it depends on every event
back to the journal's first. Without a valid note, as in finished segments, all entries
count as on disk. Segments of older versions have no note. The oldest have no head
either; their seed is zero.
"""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from sfm_stream.errors import JournalError
from sfm_stream.events import Block, Event
from sfm_stream.events.blocks import count_of, unpack
from sfm_stream.storage import atomic

ENTRY = struct.Struct("<II")
HEAD = struct.Struct("<8s32sI")
NOTE = struct.Struct("<QI")
MAGIC, UNNOTED = b"SFMJ\x00\x00\x00\x02", b"SFMJ\x00\x00\x00\x01"
"""First bytes of a segment: with a note, and of older versions without one."""
BEGINNING = HEAD.size + NOTE.size
"""Bytes before the first entry."""
FIRST_SEED = bytes(32)
LARGEST_GUESS = 2**20
COMPRESSION = 1
ACTIVE, FINISHED, HOLE = ".log", ".log.gz", ".hole"
ARRAYS = range(0x90, 0xA0)
"""First bytes of short arrays in MessagePack."""
NEWER = "read it with the version that wrote it"
RESTORE = "restore the segment from a copy, or start a new run"


class Chain:
    """The mark of a journal, kept up to date while entries are added.

    Args:
        seed: mark at the beginning of the segment, 32 bytes.
    """

    def __init__(self, seed: bytes) -> None:
        self._seed, self._hash = seed, hashlib.sha256(seed)
        self._is_empty = True

    def add(self, entries: bytes | memoryview) -> None:
        """Add the bytes of entries."""
        if entries:
            self._hash.update(entries)
            self._is_empty = False

    def mark(self) -> bytes:
        """Give the mark so far, 32 bytes; before the first entry it is the seed."""
        return self._seed if self._is_empty else self._hash.digest()


class Segment(NamedTuple):
    """A segment as read from disk.

    Attributes:
        path: path of the file.
        head: bytes before the first entry; 0 in segments of the oldest versions.
        seed: mark at the beginning of the segment.
        body: the entries, and a torn tail if there is one.
        synced: bytes of the body that are known to have been on disk.
    """

    path: Path
    head: int
    seed: bytes
    body: memoryview
    synced: int

    @property
    def is_noted(self) -> bool:
        """Whether the head is whole and has room for the note."""
        return self.head == BEGINNING


class Entries(NamedTuple):
    """The whole entries of a segment.

    Attributes:
        events: number of events.
        end: end of the last whole entry, in bytes of the body.
        later: start of a whole entry behind damage, if there is one.
    """

    events: int
    end: int
    later: int | None = None


def entry(payload: bytes) -> bytes:
    """Give the entry of a payload."""
    return ENTRY.pack(len(payload), zlib.crc32(payload)) + payload


def head(seed: bytes) -> bytes:
    """Give the head of a segment that begins with this mark, with a note of 0 bytes."""
    return HEAD.pack(MAGIC, seed, zlib.crc32(MAGIC + seed)) + note(0)


def note(synced: int) -> bytes:
    """Give the note that follows the head: the number of bytes of entries on disk."""
    return NOTE.pack(synced, zlib.crc32(synced.to_bytes(8, "little")))


def parse(path: Path, data: bytes) -> Segment:
    """Split the bytes of a segment into its head and its body.

    Raises:
        JournalError: if the head is damaged.
    """
    body = memoryview(data)
    size = {MAGIC: BEGINNING, UNNOTED: HEAD.size}.get(data[: len(MAGIC)], 0)
    if not 0 < size <= len(data):
        return Segment(path, 0, FIRST_SEED, body, len(body))
    magic, seed, expected = HEAD.unpack_from(data)
    if zlib.crc32(magic + seed) != expected:
        raise JournalError(str(path), "damaged head at byte 0", RESTORE)
    body = body[size:]
    synced, _ = NOTE.unpack_from(data, HEAD.size) if size == BEGINNING else (0, 0)
    is_good = size == BEGINNING and data[HEAD.size : size] == note(synced)
    return Segment(path, size, seed, body, synced if is_good else len(body))


def scan(segment: Segment) -> Entries:
    """Count the entries up to the torn tail, if there is one, and check their sums.

    A power cut may damage any bytes that were not yet on disk, in any order.

    Raises:
        JournalError: if a synced entry is damaged and a whole one follows.
    """
    data = segment.body
    count = at = 0
    while at + ENTRY.size <= len(data):
        length, expected = ENTRY.unpack_from(data, at)
        end = at + ENTRY.size + length
        # zero bytes, as a power cut leaves them, would pass as an empty entry
        if not length or end > len(data):
            break
        payload = data[at + ENTRY.size : end]
        if zlib.crc32(payload) != expected:
            break
        count, at = count + _count(payload), end
    later = _entry_after(data, at) if at < len(data) else None
    if later is not None and at < segment.synced:
        damaged, whole = segment.head + at, segment.head + later
        problem = (
            f"damaged entry at byte {damaged}, a whole one follows at byte {whole}"
        )
        raise JournalError(str(segment.path), problem, RESTORE)
    return Entries(count, at, later)


def _entry_after(data: memoryview, damaged: int) -> int | None:
    """Find the start of a whole entry behind a damaged one, if there is any."""
    octets = np.frombuffer(data, np.uint8)[damaged + 1 :].astype(np.uint32)
    count = max(len(octets) - ENTRY.size, 0)
    lengths = sum(octets[i : i + count] << np.uint32(8 * i) for i in range(4))
    room = np.arange(count, 0, -1)
    likely = (lengths > 0) & (lengths <= np.minimum(room, LARGEST_GUESS))
    for at in (np.flatnonzero(likely) + damaged + 1).tolist():
        length, expected = ENTRY.unpack_from(data, at)
        payload = at + ENTRY.size
        if zlib.crc32(data[payload : payload + length]) == expected:
            return int(at)
    return None


def expect_whole(segment: Segment, entries: Entries, expected: int) -> None:
    """Refuse a finished segment that is damaged or holds another number of events.

    Raises:
        JournalError: naming the damaged byte or both counts.
    """
    expect_no_tail(segment, entries)
    if entries.events != expected:
        problem = f"expected {expected} events, was {entries.events}"
        hint = "a segment is missing; restore it"
        raise JournalError(str(segment.path), problem, hint)


def expect_no_tail(segment: Segment, entries: Entries) -> None:
    """Refuse a finished segment that does not end with a whole entry.

    Raises:
        JournalError: naming the damaged byte.
    """
    if entries.end != len(segment.body):
        at = segment.head + entries.end
        problem = f"damaged entry at byte {at} of a finished segment"
        raise JournalError(str(segment.path), problem, RESTORE)


def decoded(segment: Segment, end: int, skip: int) -> Iterator[Event | Block]:
    """Decode the entries of a segment that was scanned.

    Args:
        segment: the segment.
        end: end of the last whole entry, in bytes of the body.
        skip: number of events to skip at the beginning.

    Raises:
        JournalError: if an entry is whole but no event.
    """
    decode = msgspec.msgpack.Decoder(Event).decode
    left = max(skip, 0)
    for start, stop in payloads(segment.body, end):
        payload = segment.body[start:stop]
        if left and (count := _count(payload)) <= left:
            left -= count
            continue
        try:
            found = unpack(payload) if _is_block(payload) else decode(payload)
        except msgspec.DecodeError as e:
            at = segment.head + start - ENTRY.size
            problem = f"no event at byte {at}: {e}"
            raise JournalError(str(segment.path), problem, NEWER) from e
        yield found[left:] if left and isinstance(found, Block) else found
        left = 0


def mark(segment: Segment, count: int) -> bytes | None:
    """Give the mark after `count` events of a segment; None if no entry ends there."""
    if not count:
        return segment.seed
    for start, stop in payloads(segment.body, len(segment.body)):
        if stop > len(segment.body):
            return None
        count -= _count(segment.body[start:stop])
        if count < 0:  # no checkpoint is taken within a block
            return None
        if not count:
            chain = Chain(segment.seed)
            chain.add(segment.body[:stop])
            return chain.mark()
    return None


def _is_block(payload: memoryview) -> bool:
    return len(payload) > 0 and payload[0] in ARRAYS


def _count(payload: memoryview) -> int:
    """Give the number of events of an entry; an unreadable block counts as one."""
    if not _is_block(payload):
        return 1
    try:
        return count_of(payload)
    except msgspec.DecodeError:
        return 1


def payloads(data: memoryview, end: int) -> Iterator[tuple[int, int]]:
    """Yield the start and stop of each entry's payload."""
    at = 0
    while at + ENTRY.size <= end:
        length, _ = ENTRY.unpack_from(data, at)
        start, at = at + ENTRY.size, at + ENTRY.size + length
        yield start, at


def firsts(folder: Path) -> list[int]:
    """List the first positions of the segments, in order."""
    paths = (p for end in (ACTIVE, FINISHED) for p in folder.glob(f"*{end}"))
    return sorted({int(p.name.partition(".")[0]) for p in paths})


def hole(folder: Path, first: int, following: int | None) -> int | None:
    """Give the position after a segment: the start of a hole or the next segment."""
    within = (
        h for h in holes(folder) if following is not None and first <= h < following
    )
    return min(within, default=following)


def holes(folder: Path) -> list[int]:
    """List the first positions of the holes, in no order."""
    return [int(path.stem) for path in folder.glob(f"*{HOLE}")]


def hole_at(folder: Path, position: int) -> Path:
    """Give the path of the hole that begins at a position."""
    return folder / f"{position:012d}{HOLE}"


def active(folder: Path, first: int) -> Path:
    """Give the path of a segment that is written to."""
    return folder / f"{first:012d}{ACTIVE}"


def finished(folder: Path, first: int) -> Path:
    """Give the path of a segment that is finished and compressed."""
    return folder / f"{first:012d}{FINISHED}"


def present(folder: Path, first: int) -> Path:
    """Give the path of a segment in the form that exists now."""
    plain = active(folder, first)
    return plain if plain.exists() else finished(folder, first)


def load(folder: Path, first: int) -> Segment:
    """Read a segment, plain or compressed.

    Raises:
        JournalError: if it cannot be read or its head is damaged.
    """
    plain = active(folder, first)
    try:
        return parse(plain, plain.read_bytes())
    except FileNotFoundError:
        path = finished(folder, first)
    try:
        with gzip.open(path) as file:
            return parse(path, file.read())
    except (OSError, EOFError, zlib.error) as e:
        raise JournalError(str(path), f"cannot be read: {e}", RESTORE) from e


def finish(folder: Path, first: int) -> None:
    """Compress a segment unless that was done; delete the plain file last.

    Raises:
        OSError: if the disk is full or refuses.
    """
    plain = active(folder, first)
    if plain.exists():
        # without note and mtime the same events give the same bytes
        data = plain.read_bytes()
        if data.startswith(MAGIC):
            data = data[: HEAD.size] + bytes(NOTE.size) + data[BEGINNING:]
        packed = gzip.compress(data, COMPRESSION, mtime=0)
        atomic.write(finished(folder, first), packed)
        plain.unlink()
