from __future__ import annotations

from sfm_stream.config import from_tree
from sfm_stream.daemon.named_sinks import named


def test_sinks_are_named_by_kind_and_place():
    config = from_tree(
        {"sink": [{"kind": "jsonl"}, {"kind": "jsonl", "path": "a/b.jsonl"}]}
    )
    assert list(named(config)) == ["jsonl jsonl", "jsonl a-b.jsonl"]
