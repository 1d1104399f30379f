"""The examples in docstrings of public names run, and print what stands there."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

PUBLIC = [
    "config.reading", "events.columns", "events.kinds", "records", "engine", "cell.sfm", "cell.layer",
    "cluster.shards", "river.regressor", "river.multi_target", "river.forecaster",
]  # fmt: skip
# Names that people meet first: each shows how it is used.
SHOWN = {
    "sfm_stream.config.reading.from_tree", "sfm_stream.events.columns.Block",
    "sfm_stream.events.columns.Block.ticks", "sfm_stream.events.kinds.to_json",
    "sfm_stream.records.Records", "sfm_stream.engine",
    "sfm_stream.cell.sfm.SFM", "sfm_stream.river.regressor.SFMRegressor",
    "sfm_stream.river.multi_target.SFMMultiTargetRegressor",
    "sfm_stream.river.forecaster.SFMForecaster",
}  # fmt: skip
API = ["sfm_stream.engine", "sfm_stream.events", "sfm_stream.records"]


def examples(name):
    """Give the examples of a module, docstring by docstring."""
    module = import_module(f"sfm_stream.{name}")
    found = doctest.DocTestFinder(exclude_empty=True).find(module)
    return [test for test in found if test.examples]


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_print_what_stands_there(name, capsys):
    runner = doctest.DocTestRunner(
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    for test in examples(name):
        runner.run(test)
    results = runner.summarize(verbose=False)
    assert results.failed == 0, capsys.readouterr().out


def test_names_that_people_meet_first_have_examples():
    assert {test.name for name in PUBLIC for test in examples(name)} >= SHOWN


@pytest.mark.parametrize("name", API)
def test_public_names_are_listed_exist_and_say_what_they_are(name):
    module = import_module(name)
    for public in module.__all__:
        thing = getattr(module, public)
        if isinstance(thing, type) or callable(thing):
            assert (thing.__doc__ or "").strip(), public
    star = {}
    exec(f"from {name} import *", star)  # noqa: S102 what a user may write
    assert set(module.__all__) <= set(star)
