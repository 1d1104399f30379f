from __future__ import annotations

import json
import sys

import pytest
from msgspec.structs import replace

from sfm_stream import cli, settings
from sfm_stream.cli import status
from sfm_stream.daemon.status.model import Checkpoint, Journal, Stream
from sfm_stream.feeds import Happening
from sfm_stream.settings import Daemon
from tests.daemon_web import served_apart
from tests.vitals_rig import FEED, SINK, WELL, vitals


@pytest.fixture
def shown(monkeypatch, capsys):
    """Give the program as a function: arguments in; exit code, stdout, stderr out."""

    def call(*arguments, width=160):
        monkeypatch.setattr(sys, "argv", ["sfm-stream", "status", *arguments])
        monkeypatch.setenv("COLUMNS", str(width))
        with pytest.raises(SystemExit) as exited:
            cli.main()
        said = capsys.readouterr()
        return exited.value.code, said.out, said.err

    return call


def cells(out):
    """Give the rows of printed tables."""
    rows = [line.strip("│┃ ").replace("┃", "│") for line in out.splitlines()]
    return [tuple(cell.strip() for cell in row.split("│")) for row in rows]


def test_a_daemon_that_is_well_is_shown_in_tables(shown):
    with served_apart() as url:
        code, out, err = shown(url)
    rows = cells(out)
    assert (code, err) == (0, "")
    for row in [
        ("run", "runs/venue, version 0.1.0, process 42"),
        ("state", "live, up 62 s"),
        ("events", "1,500, of them 500 recovered"),
        ("ticks", "1,000, 2 rejected"),
        ("waiting", "4, 0.01 s behind"),
        ("checkpoint", "at 1,400, 9 s ago"),
        ("latency, us", "p50 210, p99 3,000, max 9,000"),
        ("loop held, us", "p99 900, p999 4,000, max 7,000"),
        ("memory", "320 MiB"),
        ("btcusdt", "900", "0", "0.1", "-"),
        ("ethusdt", "100", "2", "2.5", "30"),
        ("wss://venue", "live", "60", "0.1"),
        ("of the feeds", "connecting 2, garbage 3"),
        ("11-14 22:13:20", "wss://venue", "gap: cut off"),
        ("records", "parquet", "3", "0", "0", "5,000"),
    ]:
        assert row in [found[: len(row)] for found in rows], row
    assert out.endswith("\nready\n")


def test_all_that_is_wrong_is_shown(shown):
    ill = vitals(
        state="catching up", learning=False, alarms=("the disk is full",), latency_us=None,
        checkpoint=Checkpoint(1, 99.0, 0.1, "no space", 99.0),
        journal=Journal(9, journalled=False, problem="no room"),
        feeds=(replace(FEED, label="wss://[::1]:9", state="backoff", reason="[red]no"),),
        sinks=(replace(SINK, error="gone"),),
    )  # fmt: skip
    with served_apart(ask=lambda: ill) as url:
        code, out, _ = shown(url)
    assert code == 2
    for text in ("catching up", "99 s ago no space", "9 no room", "wss://[::1]:9",
                 "[red]no", "gone", "alarm: the disk is full"):  # fmt: skip
        assert text in out
    assert [line for line in out.splitlines() if line.startswith("not ready: ")] == [
        "not ready: feeds: expected a live connection, was none of 1",
        "not ready: checkpoint: expected within 40 s, was 99 s: no space",
        "not ready: journal: no room",
        "not ready: sink records: gone",
    ]


def test_connections_are_told_apart_on_a_narrow_terminal_troubled_ones_first(shown):
    why = "broken off: [Errno 111] Connect call failed ('127.0.0.1', 9301)"
    happened = (
        Happening(1_700_000_000 * 10**9, "closed", "closed: 1002 protocol error"),
    )
    ports = range(9301, 9304)
    feeds = tuple(
        replace(FEED, label=f"ws://127.0.0.1:{port}/", reason=why, happened=happened,
                state="backoff" if port == 9303 else "live")
        for port in ports
    )  # fmt: skip
    with served_apart(ask=lambda: vitals(feeds=feeds)) as url:
        _, out, _ = shown(url, width=80)
    first = {port: out.index(f"ws://127.0.0.1:{port}/") for port in ports}
    assert sorted(ports, key=first.get) == [9303, 9301, 9302]
    assert "closed: closed" not in out
    assert {len(line) for line in out.splitlines() if "┃" in line} <= set(range(81))
    assert all(
        line.endswith(tuple("┃┓┩│┘")) for line in out.splitlines() if "ws:" in line
    )


def test_several_daemons_have_no_process_and_no_line_is_broken(shown):
    alarm = f"the disk is full: {'/far' * 40}/records"
    ill = vitals(alarms=(alarm,))
    with served_apart(ask=lambda: ill) as one, served_apart() as other:
        _, out, _ = shown(one, other, width=80)
    assert "process" not in out
    assert f"alarm: {one}: {alarm}" in out.splitlines()


def test_a_daemon_that_compiles_says_how_long_that_takes(shown):
    with served_apart(ask=lambda: vitals(state="compiling")) as url:
        code, out, _ = shown(url)
    assert code == 2
    row = ("state", "compiling (the kernels, about a minute, once), up 62 s")
    assert row in cells(out)
    assert "was compiling (the kernels, about a minute, once)" in out


def test_many_streams_are_cut_short(shown):
    many = vitals(streams={f"s{i}": Stream(i, 0, None) for i in range(1_000)})
    with served_apart(ask=lambda: many) as url:
        _, out, _ = shown(url)
    assert ("s29", "29", "0", "-", "-") in cells(out)
    assert "s30" not in out
    assert "and 970 more" in out


def test_json_is_the_vitals_and_why_it_is_not_ready(shown):
    with served_apart(ask=lambda: vitals(finite=False)) as url:
        code, out, err = shown(url, "--json")
    tree = json.loads(out)
    assert (code, err) == (2, "")
    assert tree["unready"] == ["model: expected finite numbers, was non-finite"]
    assert tree["streams"]["ethusdt"]["quarantined_s"] == 30.0
    assert set(tree) == {"unready", *WELL.__struct_fields__}


def test_it_watches_until_no_one_answers(shown, monkeypatch):
    waits = []

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            daemon.__exit__(None, None, None)

    monkeypatch.setattr(status.time, "sleep", wait)
    daemon = served_apart()
    url = daemon.__enter__()
    code, out, err = shown(url, "--watch", "--json")
    assert (code, waits) == (1, [1.0, 1.0, 1.0])
    assert [json.loads(line)["seq"] for line in out.splitlines()] == [1_500] * 3
    assert "no daemon answers: Connection refused" in err


def test_whoever_watches_may_stop(shown, monkeypatch):
    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(status.time, "sleep", stop)
    with served_apart() as url:
        code, out, _ = shown(url, "--watch")
    assert code == 130
    assert out.count("\nready\n") == 1


def test_without_a_daemon_it_says_what_to_do(shown):
    code, out, err = shown("127.0.0.1:1")
    assert (code, out) == (1, "")
    assert err == (
        "sfm-stream: error: http://127.0.0.1:1/status: no daemon answers: "
        "Connection refused; start one, or name the address that its daemon.listen names\n"
    )


def test_unless_told_it_asks_where_daemons_listen(shown, monkeypatch):
    with served_apart() as url:
        there = lambda: Daemon(listen=url.removeprefix("http://"))  # noqa: E731
        monkeypatch.setattr(settings, "Daemon", there)
        assert shown()[0] == 0
