from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sfm_stream.errors import JournalError
from sfm_stream.storage import segment
from sfm_stream.storage.segment import Chain

SEED = bytes(range(32))
PATH = Path("000000000007.log")


def parsed(*payloads, seed=SEED, torn=b""):
    body = b"".join(segment.entry(payload) for payload in payloads)
    return segment.parse(PATH, segment.head(seed) + body + torn)


def test_a_head_gives_back_its_seed_and_no_entry():
    found = parsed()
    assert (found.head, found.seed, bytes(found.body)) == (segment.HEAD.size, SEED, b"")
    assert segment.scan(found) == (0, 0)


def test_every_flipped_bit_of_a_head_is_damage():
    data = segment.head(SEED) + segment.entry(b"one") + segment.entry(b"two")
    for at in range(segment.HEAD.size * 8):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(JournalError, match="damaged"):
            segment.scan(segment.parse(PATH, bytes(flipped)))


def test_a_segment_without_a_head_is_of_an_older_version():
    found = segment.parse(PATH, segment.entry(b"one"))
    assert (found.head, found.seed) == (0, segment.FIRST_SEED)
    assert segment.scan(found).events == 1


def test_the_mark_is_the_digest_of_seed_and_entries():
    found = parsed(b"one", b"two", torn=b"\x09")
    first = segment.entry(b"one")
    assert segment.mark(found, 0) == SEED
    assert segment.mark(found, 1) == hashlib.sha256(SEED + first).digest()
    assert segment.mark(found, 2) != segment.mark(found, 1)
    assert segment.mark(found, 3) is None


def test_a_chain_does_not_depend_on_how_entries_are_cut():
    one, two = Chain(SEED), Chain(SEED)
    assert one.mark() == SEED
    one.add(b"abcdef")
    for part in (b"ab", b"", b"cdef"):
        two.add(part)
    assert one.mark() == two.mark() != SEED


def test_damage_is_told_by_its_place_in_the_file():
    found = parsed(b"one", b"two")
    data = bytearray(segment.head(SEED) + found.body)
    data[segment.HEAD.size + segment.ENTRY.size] ^= 1
    at = segment.HEAD.size
    with pytest.raises(JournalError, match=rf"damaged entry at byte {at}, a whole one"):
        segment.scan(segment.parse(PATH, bytes(data)))
