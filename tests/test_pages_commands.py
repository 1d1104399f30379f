"""The commands of the pages do what is said of them, in a copy of the checkout."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from sfm_stream import config
from sfm_stream.daemon.http.client import ask
from sfm_stream.errors import SFMStreamError
from sfm_stream.evaluate.pace import bench
from sfm_stream.paper.analyses import ablations
from sfm_stream.paper.tasks import music, phonemes, signals
from sfm_stream.paper.training.loop import Schedule
from tests import pages
from tests.conftest import SMALL
from tests.daemon_web import served_apart
from tests.pages import ROOT

BRIEF = Schedule(epochs=1, batch=4, lr=1e-2, patience=1)
SIGNALS = signals.Size(train=4, valid=2, test=2, samples=8, schedule=BRIEF)
BENCH = bench.Size(
    repeats=2, ticks=64, eager_ticks=64, live_ticks=20, file_ticks=50, sequence_ticks=3
)


def lines(name, heading):
    """Give the lines of a chapter's blocks of commands."""
    found = pages.blocks("sh", pages.section(name, heading))
    return [line for block in found for line in block.splitlines()]


LIVE = [
    shlex.split(line)[1:] for line in lines("connectors/README.md", "## Live feeds")
]
LIVING = lines("sfm_stream/daemon/README.md", "### Try it on this machine")
SHARED = lines("sfm_stream/cluster/README.md", "## Try it on this machine")
WALKED = [*LIVE, *(shlex.split(line)[1:] for line in (*LIVING, *SHARED))]
ELSEWHERE = {("check",), ("bench",), ("status",), *((words[0],) for words in WALKED)} - {
    ("replay",), ("verify",)
}  # fmt: skip
COMMANDS = pages.commands()
# Of every experiment at once, and in `test_paper_analyses_whole.py`.
LONG = ("paper", "all", "--quick")
HERE = [words for words in COMMANDS if words != LONG
        and words[:1] not in ELSEWHERE and list(words) not in WALKED]  # fmt: skip
LOOP = r"for file in (\S+); do (sfm-stream .+); done"


def without_output(words):
    """Turn a replay into a check of the same settings."""
    kept = [word for word in words[1:] if word != "--json"]
    return ["check", *kept]


@pytest.fixture
def brief(monkeypatch):
    """Make the paper's experiments as small as they can be."""
    monkeypatch.setattr(signals, "QUICK", SIGNALS)
    monkeypatch.setattr(music, "QUICK", music.Size(2, BRIEF, 9))
    monkeypatch.setattr(phonemes, "QUICK", phonemes.Size(sentences=2, schedule=BRIEF))
    stream = {
        "feed": {"connector": "synthetic", "options": {"ticks": 100}},
        "run": {"warmup": 10},
    }
    monkeypatch.setattr(ablations, "STREAMS", {"tones": stream})


@pytest.mark.parametrize("words", HERE, ids=" ".join)
@pytest.mark.usefixtures("brief")
def test_a_command_does_what_it_says(words, lived_in, sfm_stream):
    at_hand = (lived_in.parent / "shared").is_dir()
    if pages.reads_private_data(words):
        if words[0] != "paper":
            path = lived_in / next(w for w in words if w.endswith(".toml"))
            given = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
            config.load(path, given)
        if not at_hand:
            pytest.skip("the data it reads is not part of the project")
        if words[0] != "paper":
            assert sfm_stream(*without_output(words))[0] == 0
            return
    extra = SMALL if "configs/demo.toml" in words else []
    code, out, err = sfm_stream(*words, *extra)
    assert code == 0, err
    if "--json" in words:
        assert json.loads(out.splitlines()[-1])["horizons"]


def test_a_loop_over_files_is_one_command_for_each(checkout, sfm_stream):
    text = "\n".join(block for _, block in pages.all_blocks("sh"))
    loops = re.findall(LOOP, text)
    assert loops
    for pattern, command in loops:
        found = sorted(checkout.glob(pattern))
        if not found:
            pytest.skip("the data it reads is not part of the project")
        words = shlex.split(command.replace("$file", str(found[0])))[1:]
        assert sfm_stream(*without_output(words))[0] == 0


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as there:
        return there.getsockname()[1]


def until_live(address, events):
    """Ask a daemon, which may not be there yet, until it is ready at so many events."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with suppress(SFMStreamError):
            answer = ask(address)
            if not answer.reasons and answer.vitals.seq >= events:
                return answer.vitals
    pytest.fail("the daemon did not come to live")


@pytest.mark.usefixtures("lived_in")
def test_the_chapter_of_the_daemon_is_walked_in_three_shells(sfm_stream):
    assert [line.split()[:2] for line in LIVING] == [
        ["sfm-stream", "simulate"], ["sfm-stream", "daemon"], ["sfm-stream", "status"],
        ["kill", "-9"], ["sfm-stream", "daemon"], ["sfm-stream", "status"],
        ["sfm-stream", "stop"], ["sfm-stream", "verify"],
    ]  # fmt: skip
    simulate, daemon = (shlex.split(line)[1:] for line in LIVING[:2])
    address = f"127.0.0.1:{free_port()}"
    given = {"env": {**os.environ, "PYTHONPATH": str(ROOT)}}
    program = [sys.executable, "-m", "sfm_stream"]
    words = ["0" if word == "8765" else word for word in simulate]
    venue = subprocess.Popen(  # noqa: S603 our own interpreter
        [*program, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, **given,
    )  # fmt: skip
    try:
        url = venue.stdout.readline().strip()
        text = Path("configs/daemon.toml").read_text()
        changed = text.replace("ws://127.0.0.1:8765", url)
        Path("configs/daemon.toml").write_text(changed)
        seen = 0
        for last in (False, True):
            shell = subprocess.Popen(  # noqa: S603 our own interpreter
                [*program, *daemon, "--set", f"daemon.listen={address}"],
                stderr=subprocess.DEVNULL, **given,
            )  # fmt: skip
            seen = until_live(address, seen + 20).seq
            assert sfm_stream("status", address)[0] == 0
            if last:
                code, out, _ = sfm_stream(*shlex.split(LIVING[6])[1:])
                assert code == 0
                assert f"process {shell.pid} stopped after" in out
            else:
                subprocess.run(["/bin/bash", "-c", LIVING[3]], check=True)  # noqa: S603 the page's own line
            assert shell.wait(60) == (0 if last else -signal.SIGKILL)
        # by a process of its own: one that has compiled kernels, as this one may have,
        # differs in last bits from those that load them
        checked = subprocess.run(  # noqa: S603 our own interpreter
            [*program, *shlex.split(LIVING[-1])[1:]],
            capture_output=True, text=True, check=False, **given,
        )  # fmt: skip
        assert checked.returncode == 0, checked.stderr
        assert "are identical" in checked.stdout
        assert int(checked.stdout.split("records of ")[1].split()[0]) >= seen
    finally:
        venue.terminate()
        venue.communicate()


def test_the_live_chapter_is_walked_in_two_shells(lived_in, sfm_stream):
    first, *others = LIVE
    assert first[0] == "simulate"
    words = ["0" if word == "8765" else word for word in first]
    shell = subprocess.Popen(  # noqa: S603 our own interpreter
        [sys.executable, "-m", "sfm_stream", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        url = shell.stdout.readline().strip()
        text = Path("configs/live.toml").read_text()
        assert "ws://127.0.0.1:8765" in text
        changed = text.replace("ws://127.0.0.1:8765", url)
        Path("configs/live.toml").write_text(changed)
        for words in others:
            given = ["1s" if word == "5s" else word for word in words]
            code, out, err = sfm_stream(*given)
            assert code == 0, err
            if words[0] == "tail":
                assert len(out.splitlines()) == 5
    finally:
        shell.terminate()
        shell.communicate()
    assert [words[0] for words in others] == ["feeds", "tail", "record", "replay"]
    scored = json.loads(
        (lived_in / "runs/binance_capture-001/summary.json").read_text()
    )
    assert scored["ticks"] > 50


@pytest.mark.usefixtures("checkout")
def test_check_is_shown(sfm_stream):
    shown = [words for words in COMMANDS if words[0] == "check"]
    assert shown
    for words in shown:
        assert sfm_stream(*words)[0] == 0


def test_the_bench_prints_what_its_table_explains(sfm_stream, monkeypatch):
    monkeypatch.setattr(bench, "Size", lambda: BENCH)
    monkeypatch.setattr(bench, "_compile", lambda: 1.0)
    assert ("bench", "--json") in COMMANDS
    code, out, _ = sfm_stream("bench", "--json")
    assert code == 0
    said = set()
    for key, value in json.loads(out.splitlines()[-1]).items():
        nested = isinstance(value, dict) and key != "config"
        said |= {f"{key}.{part}" for part in value} if nested else {key}
    chapter = pages.section("sfm_stream/evaluate/README.md", "## Pace")
    assert set(pages.first_column(chapter)) == said


def test_a_daemon_is_asked_as_shown(sfm_stream):
    shown = [words for words in COMMANDS if words[0] == "status"]
    assert shown
    with served_apart() as url:
        for _, *words in shown:
            given = [word for word in words if word.startswith("-")]
            assert sfm_stream("status", url, *given)[0] == 0
