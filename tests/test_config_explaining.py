from __future__ import annotations

import msgspec
import pytest

from sfm_stream.config import from_tree
from sfm_stream.config.explaining import explained
from sfm_stream.errors import ConfigError
from sfm_stream.settings import Config


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"model": {"states": 2.5}}, "model.states: expected a whole number, was 2.5"),
        (
            {"forecast": {"levels": [0.5, 1.0]}},
            "forecast.levels[1]: expected a number < 1.0, was 1.0",
        ),
        (
            {"stream": {"missing": "x"}},
            "stream.missing: expected one of 'void', 'hold', 'mean', was 'x'",
        ),
        (
            {"sink": {"kind": "jsonl"}},
            "sink: expected a list, was {'kind': 'jsonl'}; write it as [[sink]] in the "
            "file",
        ),
        ({"feed": {"columns": 3}}, "feed.columns: expected a table, was 3"),
        ({"feed": {"columns": {"a": 3}}}, "feed.columns.a: expected text, was 3"),
        (
            {"run": {"threads": "a"}},
            "run.threads: expected a whole number or nothing, was 'a'",
        ),
        (
            {"stream": {"every": "x"}},
            "stream.every: expected a duration like '100ms', was 'x'",
        ),
    ],
)
def test_a_fault_is_told_in_words_with_the_value(tree, message):
    with pytest.raises(ConfigError) as e:
        from_tree(tree)
    assert str(e.value) == message


def test_the_entry_of_a_table_that_is_at_fault_is_named():
    tree = {"stream": {"folds": {"bid": "last", "ask": "median"}}}
    with pytest.raises(msgspec.ValidationError) as e:
        msgspec.convert(tree, Config)
    problem, _, at = str(e.value).rstrip("`").partition(" - at `$.")
    found = explained(problem, at, tree, Config)
    assert found.at == "stream.folds.ask"
    assert found.problem.endswith("'mean', 'count', was 'median'")
