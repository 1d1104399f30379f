from __future__ import annotations

import asyncio
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest

from connectors.made.synthetic import Synthetic
from sfm_stream import cli
from sfm_stream.cli import live
from sfm_stream.cli.options import placed
from sfm_stream.report import terminal
from sfm_stream.storage import run_folder
from tests.live_rig import made_up

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
DEMO = CONFIGS / "demo.toml"
SMALL = [
    "--set", "feed.options.ticks=400", "--set", "run.warmup=50", "--set", "model.states=4",
    "--set", "run.block=64", "--set", "run.checkpoint_every=128",
]  # fmt: skip


@pytest.fixture
def sfm_stream(sfm_stream, monkeypatch, tmp_path):
    """Give the program in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return sfm_stream


def test_importing_the_command_line_loads_nothing_heavy():
    heavy = ("torch", "numba", "polars", "numpy", "river", "rich.progress")
    code = (
        f"import sys, sfm_stream.cli; print([m for m in {heavy!r} if m in sys.modules])"
    )
    said = subprocess.run(  # noqa: S603 our own interpreter
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "[]"


def test_an_interrupt_while_the_program_is_imported_ends_it_quietly(tmp_path):
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")
    said = subprocess.run(
        [sys.executable, "-m", "sfm_stream", "feeds"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stderr) == (130, "")


@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize("command", ["feeds", "explain learn.every", "--version"])
@pytest.mark.parametrize(
    ("target", "reason"),
    [("full", "no space left on device"), ("closed", "broken pipe")],
)
def test_output_that_takes_no_more_is_one_line_and_an_exit_code(
    target, reason, command, buffered
):
    if target == "full":
        out = os.open("/dev/full", os.O_WRONLY)
    else:
        ear, out = os.pipe()
        os.close(ear)
    try:
        said = subprocess.run(  # noqa: S603 our own interpreter
            [sys.executable, "-m", "sfm_stream", *command.split()],
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": buffered},
        )
    finally:
        os.close(out)
    assert said.returncode == 1
    problem = f"standard output: cannot be written: {reason}"
    assert said.stderr == f"sfm-stream: error: {problem}\n"


def test_help_names_the_commands(sfm_stream):
    code, out, _ = sfm_stream("--help")
    assert code == 0
    commands = ("replay", "verify", "check", "bench", "feeds", "tail", "record")
    for command in (*commands, "simulate"):
        assert f"  {command} " in out


def test_replay_prints_json_last_and_tables_to_stderr(sfm_stream):
    code, out, err = sfm_stream("replay", DEMO, *SMALL, "--json")
    assert code == 0
    summary = json.loads(out.splitlines()[-1])
    assert summary["ticks"] == 400
    assert summary["horizons"]["1"]["scored"] == 400 - 1 - 50
    assert summary == json.loads(Path("runs/demo-001/summary.json").read_text())
    for shown in ("skill", "coverage", "sfm-rls", "period, ticks", "runs/demo-001"):
        assert shown in err
    assert len(out.splitlines()) == 1


def test_runs_are_numbered_and_never_written_over(sfm_stream):
    for _ in range(2):
        assert sfm_stream("replay", DEMO, *SMALL)[0] == 0
    assert sorted(p.name for p in Path("runs").iterdir()) == ["demo-001", "demo-002"]
    code, _, err = sfm_stream("replay", DEMO, *SMALL, "--out", "runs/demo-001")
    assert code == 1
    assert "holds a run already" in err


@pytest.mark.parametrize(
    ("there", "told"),
    [
        (["notes.txt"], "notes.txt"),
        (["lock", "notes.txt"], "notes.txt"),
        (["config.toml"], "config.toml"),
    ],
)
def test_a_run_goes_into_no_folder_of_other_things(sfm_stream, there, told):
    Path("mine").mkdir()
    for name in there:
        Path("mine", name).touch()
    code, _, err = sfm_stream("replay", DEMO, *SMALL, "--out", "mine")
    assert code == 1
    assert f"new or empty folder, was one with {told}; name another" in err
    assert sorted(p.name for p in Path("mine").iterdir()) == there


@pytest.mark.parametrize("words", [
    ["sweep", DEMO, *SMALL, "--set", "learn.lr=1e-3,1e-2"],
    ["compare", DEMO, *SMALL, "--models", "last"],
    ["compare", "--suite", CONFIGS / "benchmarks", "--models", "last"],
    ["record", CONFIGS / "live.toml", "--for", "1s"],
    ["daemon", CONFIGS / "daemon.toml"],
])  # fmt: skip
def test_no_command_mixes_its_files_with_others(sfm_stream, words):
    Path("mine").mkdir()
    Path("mine", "notes.txt").touch()
    code, _, err = sfm_stream(*words, "--out", "mine")
    assert code == 1
    assert "mine: expected a new or empty folder, was one with notes.txt; name" in err
    assert [p.name for p in Path("mine").iterdir()] == ["notes.txt"]


def test_a_run_that_was_killed_while_it_was_made_is_made_anew(sfm_stream):
    Path("mine").mkdir()
    for name in ("lock", "config.toml"):
        Path("mine", name).touch()
    assert sfm_stream("replay", DEMO, *SMALL, "--out", "mine")[0] == 0


def test_commands_at_the_same_time_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with placed(None, DEMO) as one, placed(None, DEMO) as other:
        (other / "kept").touch()
        assert one != other
    assert list(Path("runs").iterdir()) == [other]


def test_a_run_is_verified(sfm_stream):
    sfm_stream("replay", DEMO, *SMALL, "--out", "run")
    code, out, _ = sfm_stream("verify", "run")
    assert code == 0
    assert out.endswith("records of 400 events are identical\n")


def test_only_its_owner_reads_a_new_run(sfm_stream):
    sfm_stream("replay", DEMO, *SMALL, "--out", "run")
    assert Path("run").stat().st_mode & 0o077 == 0
    assert Path("run/config.toml").stat().st_mode & 0o077 == 0


OUTSIDE = """
from pathlib import Path
from connectors.made.synthetic import Synthetic as Ours
Path("imported").write_text("yes")
class Outside(Ours): pass
"""


@pytest.mark.parametrize("command", ["verify", "resume"])
def test_the_classes_that_a_run_names_are_imported_only_if_it_is_trusted(
    command, sfm_stream, monkeypatch
):
    monkeypatch.syspath_prepend(Path.cwd())
    name = f"outside_{command}"
    Path(f"{name}.py").write_text(OUTSIDE)
    named = ["--set", f'feed.connector="{name}:Outside"']
    assert sfm_stream("replay", DEMO, *SMALL, *named, "--out", "run")[0] == 0
    Path("imported").unlink()
    del sys.modules[name]
    code, _, err = sfm_stream(command, "run")
    assert code == 1
    assert f"its settings import {name}:Outside; look at config.toml" in err
    assert not Path("imported").exists()
    assert sfm_stream(command, "run", "--trust")[0] == 0
    assert Path("imported").exists()


def test_an_interrupt_names_the_command_that_goes_on(sfm_stream, monkeypatch):
    real = Synthetic.blocks

    def interrupted(self, size, after=0):
        for number, block in enumerate(real(self, size, after)):
            if number == 3:
                signal.raise_signal(signal.SIGINT)
            yield block

    with monkeypatch.context() as patched:
        patched.setattr(Synthetic, "blocks", interrupted)
        code, _, err = sfm_stream("replay", DEMO, *SMALL, "--out", "run")
    assert code == 130
    command = re.search(r"resume with: sfm-stream (.*)", err)[1]
    assert "not at its end" in sfm_stream("verify", "run")[2]
    code, out, _ = sfm_stream(*shlex.split(command), "--json")
    assert code == 0
    assert json.loads(out)["ticks"] == 400
    code, _, err = sfm_stream("verify", "run")
    assert code == 0
    assert "not at its end" not in err


def test_a_warning_is_one_line_without_code(capsys, monkeypatch):
    def warn():
        warnings.simplefilter("always")
        warnings.warn("a key has a new name", FutureWarning, stacklevel=1)
        warnings.warn("overflow in square", RuntimeWarning, stacklevel=1)

    with warnings.catch_warnings():
        monkeypatch.setattr(cli, "app", lambda **_: warn())
        cli.main()
    first, second = capsys.readouterr().err.splitlines()
    assert first == "sfm-stream: warning: a key has a new name"
    assert second.startswith("sfm-stream: warning: overflow in square (RuntimeWarning")


def test_a_broken_feed_shows_what_was_done_and_one_line(sfm_stream):
    rows = "".join(f"{1_700_000_000 + i},{i % 7}\n" for i in range(60))
    Path("ticks.csv").write_text(f"time,value\n{rows}1700000060\n")
    Path("ticks.toml").write_text(
        '[feed]\nconnector = "csv"\npath = "ticks.csv"\ntime = "time"\n'
        '[stream]\nfields = ["value"]\n'
    )
    code, _, err = sfm_stream("replay", "ticks.toml", "--set", "run.block=20")
    assert code == 1
    last = err.splitlines()[-1]
    assert last.startswith("sfm-stream: error: ")
    assert "row 61: the last line is cut off; expected 2 cells" in last


def bars(order):
    days = "".join(f"2024-01-{d:02d},{d % 7}\n" for d in order)
    Path("bars.csv").write_text(f"date,close\n{days}")
    Path("bars.toml").write_text('[feed]\nconnector = "csv"\npath = "bars.csv"\n')


def test_rows_newest_first_are_told_loudly_and_read_when_it_is_said(sfm_stream):
    bars(range(30, 0, -1))
    code, out, err = sfm_stream("replay", "bars.toml", "--json")
    assert code == 0
    assert "WARNING: 29 of 30 rows were not taken; 29 of 30 ticks are earlier" in err
    assert "feed.options.order = 'newest-first'" in err
    found = json.loads(out)["account"]
    reason = found["rejections"]["time before the stream's last tick"]
    assert (reason["count"], reason["first"]) == (
        29,
        f"{Path('bars.csv').resolve()} row 2",
    )
    code, _, err = sfm_stream("replay", "bars.toml", "--strict")
    assert code == 1
    assert "expected the ticks of 30 rows, was 1; time before the stream's last" in err
    code, out, _ = sfm_stream(
        "replay", "bars.toml", "--json", "--strict",
        "--set", "feed.options.order=newest-first",
    )  # fmt: skip
    assert code == 0
    assert json.loads(out)["ticks"] == 30


def test_what_is_piped_in_is_read_to_its_end(sfm_stream, monkeypatch):
    rows = "".join(f"{1_700_000_000 + i};{i % 7},5\n" for i in range(60))
    piped = io.TextIOWrapper(io.BytesIO(f"time;value\n{rows}".encode()))
    monkeypatch.setattr("sys.stdin", piped)
    Path("pipe.toml").write_text('[feed]\nconnector = "csv"\npath = "-"\n')
    code, out, err = sfm_stream("check", "pipe.toml", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["fields"] == ["value"]
    assert found["first_rows"]["taken"] == 60


def test_a_pipe_of_the_shell_is_told_from_a_file_that_is_missing(sfm_stream):
    Path("pipe.toml").write_text('[feed]\nconnector = "csv"\n')
    read, written = os.pipe()
    try:
        place = f"feed.path=/dev/fd/{read}"
        code, _, err = sfm_stream("check", "pipe.toml", "--set", place)
    finally:
        os.close(read)
        os.close(written)
    assert code == 1
    assert f"/dev/fd/{read}: expected a file, was a pipe or a device" in err


def test_a_run_that_took_nothing_fails_and_check_says_so_before(sfm_stream):
    Path("bars.csv").write_text("date,close\n" + "soon,1\nlater,2\n" * 20)
    Path("bars.toml").write_text(
        '[feed]\nconnector = "csv"\npath = "bars.csv"\ntime = "date"\n'
    )
    for command in ("check", "replay"):
        code, out, err = sfm_stream(command, "bars.toml", "--json")
        assert code == 1, command
        assert "time could not be read" in err
        assert "bars.csv row 1: 'soon'" in err
        assert "feed.options.time_format" in err
        assert "mean weight" not in err
        assert "expected the ticks of 40 rows, was none" in err.splitlines()[-1]
        assert json.loads(out.splitlines()[-1])


def test_what_was_chosen_is_said_by_the_table_and_by_check(sfm_stream):
    rows = "".join(f"{i},2024-01-01 00:{i:02d}:00,buy,{i / 2}\n" for i in range(50))
    Path("bars.csv").write_text(f"Unnamed: 0,date,side,close\n{rows}")
    Path("bars.toml").write_text('[feed]\nconnector = "csv"\npath = "bars.csv"\n')
    for command in ("check", "replay"):
        code, _, err = sfm_stream(command, "bars.toml")
        assert code == 0
        assert "times are those of 'date'" in err
        assert "'Unnamed: 0' counts rows; 'side' holds text, first 'buy'" in err
    assert "target close; fields close" in err
    said = ("--set", 'target.values=["side"]')
    code, _, err = sfm_stream("check", "bars.toml", *said)
    assert code == 1
    assert "column 'side' is no field: it holds text, first 'buy'" in err
    said = ("--set", 'target.values=["nosuch"]')
    _, _, err = sfm_stream("check", "bars.toml", *said)
    assert err.endswith("was 'nosuch'; there are: close\n")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            ("--set", "feed.options.tick=3"),
            "feed.options.tick: unknown key; did you mean 'ticks'?",
        ),
        (("--set", "model.states=0"), "model.states: expected a whole number >= 1"),
        (("--set", "target.values=['price']"), "target.values[0]: expected a field"),
        (("--from", "nowhere"), "expected a run with a run.json, was none"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_folder(sfm_stream, arguments, problem):
    code, out, err = sfm_stream("replay", DEMO, *arguments)
    assert (code, out) == (1, "")
    (line,) = err.splitlines()
    assert line.startswith("sfm-stream: error: ")
    assert problem in line
    assert not Path("runs").exists()


def test_resume_takes_no_new_settings(sfm_stream):
    sfm_stream("replay", DEMO, *SMALL, "--out", "run")
    assert sfm_stream("resume", "run", *SMALL)[0] == 2
    assert sfm_stream("resume")[0] == 2
    assert sfm_stream("replay")[0] == 2


def test_resume_names_the_command_that_continues_the_run_of_a_daemon(sfm_stream):
    sfm_stream("replay", DEMO, *SMALL, "--out", "run")
    Path("run", "journal").mkdir()
    code, _, err = sfm_stream("resume", "run")
    assert code == 1
    assert "continue it with: sfm-stream daemon CONFIG --out run" in err


def test_a_warm_start_goes_through_the_command_line(sfm_stream):
    sfm_stream("replay", DEMO, *SMALL, "--out", "cold")
    assert sfm_stream("replay", DEMO, *SMALL, "--from", "cold", "--out", "warm")[0] == 0
    assert Path("warm/start").is_dir()
    assert sfm_stream("verify", "warm")[0] == 0


def test_check_shows_what_a_configuration_resolves_to(sfm_stream):
    code, out, _ = sfm_stream("check", DEMO)
    assert code == 0
    assert "[target]" in out
    assert "# inputs for value: change, level" in out
    code, out, _ = sfm_stream("check", DEMO, "--json", "--set", "model.states=5")
    tree = json.loads(out)
    assert tree["config"]["model"]["states"] == 5
    assert tree["fields"] == ["value"]
    hands = ["sin day", "cos day", "sin half-day", "cos half-day"]
    assert tree["inputs"] == {"value": ["change", "level", *hands]}
    assert tree["events"] == 20_000


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda p: p.stem)
def test_an_example_sets_nothing_of_the_model(sfm_stream, path):
    import tomllib

    tree = tomllib.loads(path.read_text())
    assert set(tree) <= {"feed", "stream", "target", "run", "sink"}
    assert set(tree.get("run", {})) <= {"warmup"}
    feeds = tree["feed"] if isinstance(tree["feed"], list) else [tree["feed"]]
    file = feeds[0].get("path", ".")
    if not (path.parent / file).exists():
        pytest.skip(f"{file} is not part of the project")
    assert sfm_stream("check", path)[0] == 0


@pytest.mark.parametrize(("name", "horizon"), [("csv", "1"), ("parquet", "1s")])
def test_an_example_of_a_file_forecasts_the_quotes_beside_it(
    sfm_stream, tmp_path, monkeypatch, name, horizon
):
    monkeypatch.chdir(tmp_path)
    code, out, _ = sfm_stream("replay", CONFIGS / f"{name}.toml", "--json")
    assert code == 0
    assert json.loads(out)["horizons"][horizon]["skill"] > 0.5


def test_a_path_is_meant_from_where_it_is_written(sfm_stream, tmp_path):
    (tmp_path / "deep").mkdir()
    for folder, count in (("deep", 10), (".", 20)):
        rows = "".join(f"{i}\n" for i in range(count))
        (tmp_path / folder / "ticks.csv").write_text(f"value\n{rows}")
    (tmp_path / "deep" / "a.toml").write_text(
        '[feed]\nconnector = "csv"\npath = "ticks.csv"\n'
    )
    for extra, ticks in (((), 10), (("--set", "feed.path='ticks.csv'"), 20)):
        _, out, _ = sfm_stream("replay", "deep/a.toml", *extra, "--json")
        assert json.loads(out)["ticks"] == ticks


def test_a_bar_with_pace_shows_on_a_terminal_alone(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "100")
    with terminal.watch(100) as quiet:
        quiet.progress(50)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with terminal.watch(100) as watch:
        watch.progress(50)
        watch.say("something [odd] happened")
    shown = capsys.readouterr().err
    assert "50/100" in shown
    assert "sfm-stream: something [odd] happened" in shown


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize("terminal_of", ["", "60", "80", "200"])
def test_a_table_shows_its_numbers_whole_however_narrow_the_terminal(
    terminal_of, is_terminal, monkeypatch, capsys
):
    monkeypatch.delenv("COLUMNS", raising=False)
    if terminal_of:
        monkeypatch.setenv("COLUMNS", terminal_of)
    if terminal_of and is_terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("NO_COLOR", "1")
    numbers = [f"1.{i:03d}e-18" for i in range(11)]
    names = [f"figure {i}" for i in range(11)]
    terminal.show_table(["model"], names, [["sfm-shared", *numbers]])
    shown = capsys.readouterr().err
    assert re.findall(r"1\.\d{3}e-18", shown) == numbers
    assert re.findall(r"figure \d+", shown) == names
    longest = max(map(len, re.sub(r"\x1b\[\d*m", "", shown).splitlines()))
    assert longest <= int(terminal_of or 200)
    assert shown.count("sfm-shared") == {"60": 4, "80": 3}.get(terminal_of, 1)


def test_tables_of_several_targets_are_titled(tmp_path, capsys):
    scored = {"scored": 1, "mse": 1.0, "mae": 1.0, "skill": None, "coverage": None}
    horizons = {"horizons": {"1": scored}}
    summary = {
        "ticks": 2, "seconds": 1.0, "ticks_per_s": 2.0, "rejected": 0, **horizons,
        "experts": {"last": 1.0}, "peak_rss_mib": 1.0,
        "period": {"bid": {"a": 24, "b": 7, "c": 24}, "ask": {"a": 1_000}},
        "targets": {"bid": horizons, "ask": horizons},
        "target": ["bid", "ask"], "fields": ["bid", "ask"], "notes": [],
        "account": {"taken": 2, "not_taken": 0, "rejections": {}, "feed": {},
                    "causes": []},
        "remarks": ["no score of bid [2] ahead"],
    }  # fmt: skip
    run_folder.write(tmp_path / "summary.json", run_folder.to_json(summary))
    run_folder.write(tmp_path / "config.toml", b"")
    info = {
        "fingerprint": {"config": run_folder.config.digest(run_folder.config.Config())}
    }
    run_folder.write(
        tmp_path / "run.json", run_folder.to_json(info | {"frequencies": []})
    )
    (tmp_path / "records").mkdir()
    terminal.show_run(tmp_path)
    shown = capsys.readouterr().err
    assert "bid" in shown
    assert "no score of bid [2] ahead\n" in shown
    assert "ask repeats every 1,000 ticks\n" in shown
    assert "bid repeats every 24 ticks in a, c\n" in shown
    assert "bid repeats every 7 ticks in b\n" in shown


@contextmanager
def simulating(*given):
    """Run `sfm-stream simulate` in a process of its own; gives the address."""
    words = ["simulate", CONFIGS / "made_up.gz", "--venue", "binance", "--port", 0]
    child = subprocess.Popen(  # noqa: S603 our own interpreter
        [sys.executable, "-m", "sfm_stream", *map(str, (*words, *given))],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield child.stdout.readline().strip(), child
    finally:
        child.terminate()
        child.communicate()


def test_sigterm_cancels_what_is_live_and_raises_nothing_of_its_own(capsys):
    seen = []

    async def work():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(60)
        except BaseException as e:
            seen.append(type(e))
            raise

    live._run(work())
    assert seen == [asyncio.CancelledError]
    assert "interrupted" in capsys.readouterr().err


def test_the_made_up_capture_is_what_the_rig_makes():
    assert (CONFIGS / "made_up.gz").read_bytes() == made_up()


def test_tail_prints_events_as_json_lines_and_how_the_feed_fared(sfm_stream):
    with simulating("--speed", 0) as (url, child):
        code, out, err = sfm_stream(
            "tail",
            CONFIGS / "live.toml",
            "--set",
            f"feed.options.url={url}",
            "--count",
            50,
        )
        child.terminate()
        assert "messages to 1 connection" in child.communicate()[1]
    assert code == 0
    events = [json.loads(line) for line in out.splitlines()]
    assert len(events) == 50
    assert events[0]["stream"] == "btcusdt"
    assert "live" in err
    assert url in err


def test_what_is_recorded_is_replayed(sfm_stream):
    with simulating("--speed", 0, "--fault", "garbage@5") as (url, _):
        code, _, err = sfm_stream(
            "record", CONFIGS / "live.toml", "--set", f"feed.options.url={url}",
            "--out", "recordings", "--count", 400,
        )  # fmt: skip
    assert code == 0, err
    assert "garbage 1" in err
    code, out, err = sfm_stream(
        "replay", CONFIGS / "binance_capture.toml", "--json", *SMALL[2:],
        "--set", "feed.path=recordings/*.gz", "--set", "feed.options.channel=trade",
        "--set", 'target.values=["price"]', "--set", "target.horizons=[1]",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["ticks"] >= 400


def test_a_feed_that_no_try_can_help_is_one_line_and_code_1(sfm_stream):
    with simulating("--fault", "http:404") as (url, _):
        code, _, err = sfm_stream(
            "tail", CONFIGS / "live.toml", "--set", f"feed.options.url={url}"
        )
    assert code == 1
    assert err.splitlines()[-1] == (
        f"sfm-stream: error: {url}: answered HTTP 404 Not Found; "
        "no further try can help"
    )


def test_record_ends_by_time_though_nothing_comes(sfm_stream):
    with simulating("--fault", "mute-after-ack") as (url, _):
        code, _, err = sfm_stream(
            "record", CONFIGS / "live.toml", "--set", f"feed.options.url={url}",
            "--out", "recordings", "--for", "200ms",
        )  # fmt: skip
    assert code == 0
    assert "lines in 1 segment" in err


def test_feeds_lists_connectors_channels_and_fields(sfm_stream):
    code, out, _ = sfm_stream("feeds")
    assert code == 0
    assert "parquet" in out
    assert re.search(r"binance .*trade .*price, qty, side", out)
    code, out, _ = sfm_stream("feeds", "--json")
    assert json.loads(out)["live"]["binance"]["trade"] == ["price", "qty", "side"]


def test_check_opens_a_live_feed_without_connecting(sfm_stream):
    code, out, err = sfm_stream("check", CONFIGS / "live.toml", "--json")
    assert code == 0, err
    assert json.loads(out)["fields"] == ["price", "qty", "side"]


def test_simulate_refuses_files_without_frames(sfm_stream):
    Path("trades.csv").write_text("time,price\n1700000000,1\n")
    code, out, err = sfm_stream(
        "simulate", "trades.csv", "--venue", "plain", "--port", 0
    )
    assert (code, out) == (1, "")
    assert "trades.csv: expected frames of a capture, was none; `sfm-stream re" in err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--venue", "binanse"], "did you mean 'binance'"),
        (["--venue", "binance", "--fault", "dorp"], "did you mean 'drop'"),
    ],
)
def test_simulate_refuses_what_it_does_not_know(sfm_stream, given, message):
    code, _, err = sfm_stream("simulate", CONFIGS / "made_up.gz", "--port", 0, *given)
    assert code == 1
    assert message in err
