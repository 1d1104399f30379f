from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from sfm_stream import errors
from sfm_stream.errors import (
    AddressError,
    CheckpointCorrupt,
    CheckpointError,
    CheckpointMismatch,
    ConfigError,
    FeatureError,
    FeedError,
    Fenced,
    HoldsRecords,
    InvalidState,
    JournalError,
    NoRows,
    RecordsLost,
    ReplayMismatch,
    SFMStreamError,
    ShapeError,
    SinkError,
    SourceChanged,
    StorageError,
    amount,
)

MESSAGES = [
    (
        ConfigError("learn.lr", "expected a number above 0, was -1", "raise it"),
        "learn.lr: expected a number above 0, was -1; raise it",
    ),
    (ConfigError("learn.lr", "unknown key"), "learn.lr: unknown key"),
    (FeedError("a.csv", "is absent"), "a.csv: is absent"),
    (NoRows("a.csv", "is empty"), "a.csv: is empty"),
    (
        FeedError("a.csv", "expected a number, was 'x'", "clean it", row=7),
        "a.csv row 7: expected a number, was 'x'; clean it",
    ),
    (
        FeedError("a.csv", "expected a number, was 'x'", row=7, column="bid"),
        "a.csv row 7 column 'bid': expected a number, was 'x'",
    ),
    (FeedError("a.csv", "is absent", column="bid"), "a.csv column 'bid': is absent"),
    (ShapeError("x", "(3,)", "(4,)"), "x: expected shape (3,), was (4,)"),
    (
        FeatureError("wind", "calm"),
        ("'wind': expected a number or a date, was 'calm'; "
        "turn it into numbers before, or leave it out"),
    ),
    (
        FeatureError("x", "w" * 200, "a dict", "name each"),
        "'x': expected a dict, was '" + "w" * 99 + "...; name each",
    ),
    (InvalidState("learn: expected observe first"), "learn: expected observe first"),
    (
        SourceChanged("a.csv", "10 bytes", "11 bytes"),
        ("a.csv: expected 10 bytes, was 11 bytes; "
        "restore the source or start a new run"),
    ),
    (AddressError("h:1", "is taken", "take another"), "h:1: is taken; take another"),
    (AddressError("h:1", "is taken"), "h:1: is taken"),
    (JournalError("log", "is torn", "cut it"), "log: is torn; cut it"),
    (JournalError("log", "is torn"), "log: is torn"),
    (Fenced("run", "epoch 1 is over", "end"), "run: epoch 1 is over; end"),
    (CheckpointError("c", "is absent"), "c: is absent"),
    (CheckpointCorrupt("c", "is cut off", "use another"), "c: is cut off; use another"),
    (CheckpointMismatch("c", "expected 1, was 2"), "c: expected 1, was 2"),
    (SinkError("out", "is full", "make room"), "out: is full; make room"),
    (SinkError("out", "the disk is full"), "out: the disk is full"),
    (HoldsRecords("out", "holds records", "move them"), "out: holds records; move them"),
    (RecordsLost("out", "was removed", "begin anew"), "out: was removed; begin anew"),
    (
        ReplayMismatch("scores", 3, "mean", 1.5, None),
        "scores row 3 column 'mean': expected 1.5, was None; "
        "`sfm-stream repair RUN` builds the records of RUN anew",
    ),
]  # fmt: skip
NAMES = [f"{type(e).__name__}-{i}" for i, (e, _) in enumerate(MESSAGES)]


@pytest.mark.parametrize(("error", "message"), MESSAGES, ids=NAMES)
def test_a_message_names_the_place_the_problem_and_the_fix(error, message):
    assert str(error) == message
    assert not message.endswith(".")


def test_every_exception_of_the_tree_has_its_message_tested():
    defined = {
        kind
        for kind in vars(errors).values()
        if inspect.isclass(kind) and issubclass(kind, Exception)
    }
    assert defined - {SFMStreamError, StorageError} == {
        type(error) for error, _ in MESSAGES
    }


@pytest.mark.parametrize("error", [error for error, _ in MESSAGES], ids=NAMES)
def test_one_handler_catches_all_of_ours(error):
    assert isinstance(error, SFMStreamError)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (ConfigError, ValueError),
        (ShapeError, ValueError),
        (FeatureError, ValueError),
        (InvalidState, RuntimeError),
        (CheckpointCorrupt, CheckpointError),
        (CheckpointMismatch, CheckpointError),
    ],
)
def test_an_exception_is_also_what_a_caller_expects(kind, builtin):
    assert issubclass(kind, builtin)


def piped(error):
    return pickle.loads(pickle.dumps(error))


@pytest.mark.parametrize(("error", "message"), MESSAGES, ids=NAMES)
@pytest.mark.parametrize("travel", [copy.copy, piped])
def test_an_exception_survives_the_way_to_another_process(travel, error, message):
    arrived = travel(error)
    assert type(arrived) is type(error)
    assert str(arrived) == message
    assert vars(arrived) == vars(error)


def test_the_parts_of_a_message_can_be_read_one_by_one():
    error = FeedError("a.csv", "expected a number", "clean it", row=7, column="bid")
    parts = error.source, error.problem, error.hint, error.row, error.column
    assert parts == ("a.csv", "expected a number", "clean it", 7, "bid")
    mismatch = ReplayMismatch("scores", 3, "mean", 1.5, None)
    assert (mismatch.kind, mismatch.row, mismatch.column) == ("scores", 3, "mean")
    assert (mismatch.expected, mismatch.was) == (1.5, None)


def test_a_count_of_one_is_singular():
    told = [amount(count, "tick") for count in (0, 1, 2, 2_000)]
    assert told == ["0 ticks", "1 tick", "2 ticks", "2,000 ticks"]
