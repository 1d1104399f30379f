from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import aclosing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from connectors import is_piped, open_live
from connectors.live.piped.pipe import Pipe
from connectors.venues.course import SLACK
from sfm_stream.config import from_tree
from sfm_stream.errors import ConfigError, NoRows
from tests.live_rig import Clock, until

SECOND = 10**9
NOW = 1_700_000_000 * SECOND


class Now(Clock):
    def now(self):
        return NOW


def settings(connector="csv", more=None, **feed):
    return from_tree(
        {"feed": {"connector": connector, "path": "-", **feed}, **(more or {})}
    )


class Writer:
    """The other end of a pipe that a feed reads."""

    def __init__(self, first):
        self.place, self._end = os.pipe()
        self.write(first)

    def write(self, text):
        os.write(self._end, text if isinstance(text, bytes) else text.encode())

    def end(self):
        os.close(self._end)


def opened(text, connector="csv", **feed):
    writer = Writer(text)
    return Pipe(settings(connector, **feed), writer.place, clock=Now()), writer


async def all_of(pipe):
    async with aclosing(pipe.events()) as events:
        return [event async for event in events]


def ended(text, connector="csv", **feed):
    """Give all that a feed says of a text that ends, and the feed."""
    writer = Writer(text)
    writer.end()
    pipe = Pipe(settings(connector, **feed), writer.place, clock=Now())
    return asyncio.run(all_of(pipe)), pipe


def test_each_line_is_a_tick_as_soon_as_it_is_there():
    pipe, writer = opened("time,price\n1699999900,0\n")

    async def run():
        said = []
        async with aclosing(pipe.events()) as events:
            async for event in events:  # the input stands open all the while
                said.append(event)
                if len(said) == 5:
                    break
                for half in ("16999999", f"{len(said):02},{len(said)}\n"):
                    writer.write(half)
        writer.end()
        return said

    said = asyncio.run(run())
    assert [tick.values for tick in said] == [(float(i),) for i in range(5)]
    assert {tick.received for tick in said} == {NOW}


def test_the_end_of_the_input_is_said_and_no_error():
    said, pipe = ended("time,price\n1699999998,1\n1699999999,2")
    assert [tick.values for tick in said] == [(1.0,), (2.0,)]
    assert [tick.time // SECOND for tick in said] == [1_699_999_998, 1_699_999_999]
    (one,) = pipe.status()
    assert (one.state, one.reason) == ("closed", "the input has ended")
    assert pipe.counters["lines taken"] == 2


def test_a_last_line_that_is_cut_off_is_told():
    said, pipe = ended("time,price,size\n1699999998,1,2\n1699999999,1")
    assert len(said) == 1
    (one,) = pipe.status()
    assert "cut off" in one.reason
    assert pipe.counters["garbage"] == 1


def test_json_lines_are_ticks_and_garbage_is_counted_with_the_first():
    lines = [f'{{"at": {1_699_999_000 + i}, "in": {{"c": {i}}}}}' for i in range(9)]
    said, pipe = ended("\n".join([*lines[:4], "{gar", *lines[4:], ""]), "jsonl")
    assert pipe.fields == ("in.c",)
    assert [tick.values[0] for tick in said] == list(range(9))
    assert pipe.counters["garbage"] == 1
    (one,) = pipe.status()
    assert one.examples == {"garbage": "standard input row 5: '{gar'"}


@pytest.mark.parametrize("hostile", ["[" * 50_000, f'{{"at": {"9" * 5_000}}}'])
def test_nesting_and_digits_without_end_are_garbage(hostile):
    lines = [f'{{"at": {1_699_999_000 + i}, "c": {i}}}' for i in range(9)]
    said, pipe = ended("\n".join([*lines[:4], hostile, *lines[4:], ""]), "jsonl")
    assert [tick.values[0] for tick in said] == list(range(9))
    assert pipe.counters["garbage"] == 1


def test_a_key_that_comes_too_late_to_be_a_field_is_counted_with_the_first():
    lines = [f'{{"at":{1_699_990_000 + i},"c":{i}}}' for i in range(1_100)]
    lines[-1] = '{"at":1699999000,"c":1,"late":2}'
    said, pipe = ended("\n".join([*lines, ""]), "jsonl")
    assert (len(said), pipe.counters["left out"]) == (1_100, 1)
    (one,) = pipe.status()
    assert one.examples == {"left out": "standard input row 1100: 'late'"}


def test_rows_without_times_have_that_of_their_receipt():
    said, pipe = ended("a;b\n1,5;2\n2,5;3\n", time="-")
    assert [tick.time for tick in said] == [NOW, NOW]
    assert pipe.fields == ("a", "b")


def test_a_time_that_its_stream_cannot_have_come_to_is_that_of_receipt():
    times = [1_699_999_990, 1_699_999_995, 1_800_000_000, 1_700_000_001]
    rows = "".join(f"{t},{i}\n" for i, t in enumerate(times))
    writer = Writer("time,price\n")
    pipe = None

    async def run():
        async with aclosing(pipe.events()) as events:
            async for tick in events:
                said.append(tick)
                if len(said) < len(times):
                    writer.write(parts[len(said)])
                else:
                    break
        writer.end()

    said, parts = [], rows.splitlines(keepends=True)
    writer.write(parts[0])
    pipe = Pipe(settings(), writer.place, clock=Now())
    asyncio.run(run())
    whole = [tick.time // SECOND for tick in said]
    assert whole == [*times[:2], NOW // SECOND, times[3]]
    assert pipe.counters["absurd times"] == 1
    assert times[2] * SECOND - NOW > SLACK


def test_streams_are_told_apart_and_have_their_prefix():
    text = "when,who,v\n1699999990,a,1\n1699999991,b,2\n1699999992,a,3\n"
    said, pipe = ended(text, symbol="who", prefix="hall/")
    assert [tick.stream for tick in said] == ["hall/a", "hall/b", "hall/a"]
    assert pipe.topics == ()


def test_a_full_queue_keeps_the_latest_of_each_stream():
    rows = "".join(f"{1_699_990_000 + i},{i}\n" for i in range(500))
    writer = Writer("time,price\n" + rows)
    writer.end()
    given = settings(queue=64, overload="conflate")
    pipe = Pipe(given, writer.place, clock=Now())
    said = asyncio.run(all_of(pipe))
    assert said[-1].values == (499.0,)
    assert pipe.counters["conflated"] + len(said) == 500


def test_a_pipe_that_is_left_while_its_queue_is_full_ends():
    rows = "".join(f"{1_699_990_000 + i},{i}\n" for i in range(500))
    pipe, writer = opened("time,price\n" + rows, queue=64)

    async def leave():
        batches = pipe.batches(1)
        await anext(batches)
        await until(lambda: pipe.counters["blocked"])
        async with asyncio.timeout(20):
            await batches.aclose()

    asyncio.run(leave())
    writer.end()
    assert pipe.status()[0].state == "closed"


@pytest.mark.parametrize("text", ["", "time,price\n", "# only a comment\n"])
def test_an_input_that_ends_before_a_row_is_an_error(text):
    with pytest.raises(NoRows, match=r"^standard input: expected rows"):
        ended(text)


def test_the_first_record_with_values_alone_says_what_the_fields_are():
    lines = ['{"v": 1}'] * 3 + ['{"v": 3, "w": 3}', '{"v": 4, "w": 4, "x": 4}']
    said, pipe = ended("\n".join(["{gar", *lines, *lines[:2], ""]), "jsonl")
    assert pipe.fields == ("v",)
    assert [tick.values for tick in said] == [(v,) for v in (1, 1, 1, 3, 4, 1, 1)]
    assert pipe.counters["left out"] == 2
    (one,) = pipe.status()
    assert one.examples["left out"] == "standard input row 5: 'w'"


def test_a_line_that_is_too_long_is_left_out_and_counted(monkeypatch):
    monkeypatch.setattr("connectors.live.piped.descriptor.LONGEST", 1_000)
    monkeypatch.setattr("connectors.live.piped.descriptor.PIECE", 100)
    long = '{"v": "' + "x" * 2_000 + '"}'
    said, pipe = ended(f'{{"v": 1}}\n{long}\n{{"v": 2}}\n{long}', "jsonl")
    assert [tick.values for tick in said] == [(1.0,), (2.0,)]
    assert pipe.counters["garbage"] == 2


def test_only_lines_can_be_piped_in_and_they_cannot_be_recorded():
    assert is_piped(settings())
    with pytest.raises(ConfigError, match="`tee` keeps it"):
        open_live(settings(), (object(),))
    with pytest.raises(ConfigError, match="expected a venue, was 'parquet'"):
        open_live(settings("parquet"))
    with pytest.raises(ConfigError, match="reads what is piped in, line by line"):
        open_live(from_tree({"feed": {"connector": "csv", "path": "a.csv"}}))


def test_a_daemon_lives_on_what_is_piped_in_and_ends_with_it(tmp_path):
    rng = np.random.default_rng(1)
    values = 100 + rng.normal(size=300).cumsum()
    rows = "".join(f"{1_690_000_000 + i},{v:.3f}\n" for i, v in enumerate(values))
    config = tmp_path / "hall.toml"
    config.write_text('[feed]\nconnector = "csv"\npath = "-"\n[daemon]\nlisten = ""\n')
    run = tmp_path / "run"
    done = subprocess.run(  # noqa: S603 our own interpreter and package
        [sys.executable, "-m", "sfm_stream", "daemon", config, "--out", run],
        input=("time,celsius\n" + rows + "0,9\n" * 11).encode(), capture_output=True, check=False,
        timeout=300,
    )  # fmt: skip
    told = done.stderr.decode()
    assert done.returncode == 0, told
    lines = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    levels = {line["event"]: line["level"] for line in lines}
    assert levels["the feed has ended: the input has ended"] == "info"
    assert levels["11 of 311 rows were not taken"] == "info"
    import polars as pl

    forecasts = pl.read_parquet(run / "records" / "**" / "forecasts*.parquet")
    assert forecasts["seq"].n_unique() == 300


def test_a_daemon_without_a_first_line_says_so_and_stops_in_order(tmp_path):
    config = tmp_path / "hall.toml"
    config.write_text('[feed]\nconnector = "csv"\npath = "-"\n[daemon]\nlisten = ""\n')
    run = tmp_path / "run"
    with subprocess.Popen(  # noqa: S603 our own interpreter and package
        [sys.executable, "-m", "sfm_stream", "daemon", config, "--out", run],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as daemon:  # fmt: skip
        told = daemon.stderr.readline().decode()
        daemon.terminate()
        assert daemon.wait(60) == 0
    assert "waiting for the first line of what is piped in" in told


@pytest.mark.parametrize(("strict", "code"), [((), 0), (("--strict",), 1)])
def test_a_first_look_is_strict_when_asked_to_be(tmp_path, strict, code):
    config = tmp_path / "hall.toml"
    config.write_text('[feed]\nconnector = "jsonl"\npath = "-"\n')
    rows = [f'{{"t": {1_690_000_000 + i}, "v": {i}}}' for i in range(6)]
    done = subprocess.run(  # noqa: S603 our own interpreter and package
        [sys.executable, "-m", "sfm_stream", "tail", config, *strict],
        input="\n".join([*rows[:3], "{garb", *rows[3:], ""]), capture_output=True,
        check=False, timeout=300, text=True,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert len(done.stdout.splitlines()) == 6
    assert "WARNING: 1 of 7 rows were not taken" in done.stderr
    assert "first standard input row 4: '{garb'" in done.stderr


@settings_of(max_examples=20, deadline=None)
@given(places=st.lists(st.tuples(st.integers(0, 59), st.integers(0, 30)), max_size=8))
def test_a_line_is_a_line_whatever_quotes_stand_open(places):
    lines = [f"{1_699_990_000 + i},{i}.5" for i in range(60)]
    for line, place in places:
        at = place % len(lines[line])
        lines[line] = f'{lines[line][:at]}"{lines[line][at:]}'
    said, pipe = ended("\n".join(["time,price", *lines, ""]), time="time")
    assert len(said) + pipe.counters["garbage"] == len(lines)


def test_a_cell_over_lines_is_lost_alone_and_told():
    lines = [f"{1_699_990_000 + i},{i},ok" for i in range(9)]
    lines[4] = '1699990004,4,"two\nlines"'
    said, pipe = ended("\n".join(["time,price,note", *lines, ""]))
    assert pipe.counters["garbage"] == 1
    told = pipe.status()[0].examples["garbage"]
    assert told == "standard input row 5: '1699990004,4,\"two'"
    assert len(said) == 9  # what ends the cell is a line too
