from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.venues.json import documents as cutting
from connectors.venues.json.documents import documents, without_nan

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
TREES = st.lists(PLAIN, max_size=2) | st.dictionaries(st.text(), PLAIN, max_size=3)

DEEP, LONG = b"[" * 100_000, b'{"a":' + b"9" * 5_000 + b"}"


@given(
    st.lists(TREES, min_size=2, max_size=5),
    st.sampled_from(["", " ", "\n", "\r\n\x1e"]),
)
def test_documents_side_by_side_are_cut_where_they_end(trees, between):
    frame = between.join(map(json.dumps, trees)).encode()
    assert [json.loads(part) for part in documents(frame)] == trees


@given(TREES)
def test_one_document_needs_no_cut(tree):
    assert documents(json.dumps(tree).encode()) == []


@pytest.mark.parametrize(("frame", "parts"), [
    (b"", []), (b"{", []), (b"nonsense", []), (b'{"a":1}{"b"', [b'{"a":1}', b'{"b"']),
    (b'{"a":1}, {"a":2}', [b'{"a":1}', b'{"a":2}']),
    (b'{"a":1}' + DEEP, [b'{"a":1}', DEEP]), (DEEP, []),
    (LONG + b"\n" + LONG, [LONG, LONG]), (LONG, []),
])  # fmt: skip
def test_what_cannot_be_read_is_the_last_part(frame, parts):
    assert documents(frame) == parts


@given(TREES)
def test_valid_json_is_left_as_it_is(tree):
    frame = json.dumps(tree, ensure_ascii=False).encode(errors="replace")
    assert without_nan(frame) == frame


@pytest.mark.parametrize("word", ["nan", "NaN", "-nan", "inf", "Infinity", "-Infinity"])
def test_bare_words_that_are_no_numbers_become_null(word):
    frame = f'{{"nan":"{word}","a":{word},"b":[{word}, 1]}}'.encode()
    assert json.loads(without_nan(frame)) == {"nan": word, "a": None, "b": [None, 1]}


def test_documents_are_read_where_they_stand_and_no_rest_is_copied(monkeypatch):
    given = []

    class Noting(json.JSONDecoder):
        def raw_decode(self, text, idx=0):
            given.append(text)
            return super().raw_decode(text, idx)

    monkeypatch.setattr(cutting, "READER", Noting())
    assert len(documents(b'{"v":1}\n' * 9)) == 9
    assert all(text is given[0] for text in given)


def test_a_text_that_nothing_closes_is_looked_through_once():
    frame = b'[nan,"' + b'\\"' * 1_000_000
    assert without_nan(frame) == frame.replace(b"nan", b"null")
