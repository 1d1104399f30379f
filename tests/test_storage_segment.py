from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sfm_stream.errors import JournalError
from sfm_stream.storage import segment
from sfm_stream.storage.segment import Chain

SEED = bytes(range(32))
PATH = Path("000000000007.log")


def headed(body, seed=SEED):
    """Give a segment whose entries are all on disk."""
    return segment.head(seed)[: segment.HEAD.size] + segment.note(len(body)) + body


def parsed(*payloads, seed=SEED, torn=b""):
    body = b"".join(segment.entry(payload) for payload in payloads)
    return segment.parse(PATH, headed(body, seed) + torn)


def test_a_head_gives_back_its_seed_and_no_entry():
    found = parsed()
    assert (found.head, found.seed, bytes(found.body)) == (segment.BEGINNING, SEED, b"")
    assert segment.scan(found) == (0, 0, None)


def test_every_flipped_bit_of_a_head_is_damage():
    data = headed(segment.entry(b"one") + segment.entry(b"two"))
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
    data = bytearray(headed(bytes(found.body)))
    data[segment.BEGINNING + segment.ENTRY.size] ^= 1
    at = segment.BEGINNING
    with pytest.raises(JournalError, match=rf"damaged entry at byte {at}, a whole one"):
        segment.scan(segment.parse(PATH, bytes(data)))


def test_a_note_with_a_flipped_bit_makes_all_entries_count_as_on_disk():
    body = segment.entry(b"one") + segment.entry(b"two")
    data = segment.head(SEED) + body
    assert segment.parse(PATH, data).synced == 0
    for at in range(segment.HEAD.size * 8, segment.BEGINNING * 8):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        assert segment.parse(PATH, bytes(flipped)).synced == len(body)


def test_damage_behind_what_is_on_disk_ends_a_segment():
    one, two, three = (segment.entry(text) for text in (b"one", b"two", b"three"))
    broken = bytearray(two)
    broken[-1] ^= 1
    data = segment.head(SEED)[: segment.HEAD.size] + segment.note(len(one))
    found = segment.parse(PATH, data + one + bytes(broken) + three)
    assert segment.scan(found) == (1, len(one), len(one) + len(two))


def test_a_finished_segment_has_the_same_bytes_however_often_it_was_synced(tmp_path):
    body, packed = segment.entry(b"one"), []
    for name, synced in (("never", 0), ("once", len(body))):
        (tmp_path / name).mkdir()
        head = segment.head(SEED)[: segment.HEAD.size] + segment.note(synced)
        segment.active(tmp_path / name, 7).write_bytes(head + body)
        segment.finish(tmp_path / name, 7)
        packed.append(segment.finished(tmp_path / name, 7).read_bytes())
        assert segment.load(tmp_path / name, 7).synced == len(body)
    assert packed[0] == packed[1]
