from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from connectors.live.piped.lines import SHOWN, Lines


@given(
    lines=st.lists(
        st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")), max_size=9
    ),
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=60),
)
def test_lines_are_whole_however_they_are_cut_and_long_ones_are_told(lines, sizes):
    text, lost, found, at = b"".join(b"%b\n" % one for one in lines), [], b"", 0
    cutter = Lines(14, lost.append)
    for size in [*sizes, len(text)]:
        given = cutter.cut(text[at : at + size])
        assert not given or given.endswith(b"\n")
        found, at = found + given, at + size
    assert found.count(b"\n") + len(lost) == len(lines)
    assert cutter.rest() == b""
    assert all(len(one) == 14 for one in lost)


def test_a_line_without_an_end_is_given_at_the_end():
    cutter = Lines(14, [].append)
    assert cutter.cut(b"one\ntw") == b"one\n"
    assert cutter.cut(b"o") == b""
    assert (cutter.rest(), cutter.rest()) == (b"two", b"")


def test_a_line_that_is_too_long_keeps_its_beginning_alone():
    lost = []
    cutter = Lines(100, lost.append)
    for _ in range(1_000):
        cutter.cut(b"x" * 90)
    assert cutter.cut(b"end\nnext\n") == b"next\n"
    assert lost == [b"x" * SHOWN]
