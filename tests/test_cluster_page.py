"""The chapter on several daemons is walked as it stands there."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sfm_stream.cluster.whole import ask_all
from sfm_stream.daemon.http.client import Answer
from tests.pages import ROOT
from tests.shard_load import free_port
from tests.test_pages_commands import SHARED

PATIENCE = 180.0
TICKS = 20


def started(line, **given):
    words = shlex.split(line)[1:]
    return subprocess.Popen(  # noqa: S603 our own program
        [sys.executable, "-m", "sfm_stream", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
        stderr=subprocess.DEVNULL, **given,
    )  # fmt: skip


def until_live(*addresses):
    """Wait until every daemon has taken some ticks, and none is late."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        answers = ask_all(addresses).values()
        if all(is_live(answer) for answer in answers):
            return
        time.sleep(0.1)
    pytest.fail("the daemons did not come to live")


def is_live(answer):
    return (
        isinstance(answer, Answer)
        and answer.vitals.ticks >= TICKS
        and not answer.reasons
    )


@pytest.mark.usefixtures("checkout")
def test_the_chapter_is_walked_in_some_shells(sfm_stream):
    names = [shlex.split(line)[1] for line in SHARED]
    assert names == ["simulate", "daemon", "daemon", "status", "gateway", "stop",
                     "stop", "move", "rebalance", "verify"]  # fmt: skip
    ports = {port: str(free_port()) for port in ("8801", "8802", "8787")}
    lines = [line.replace("--port 8765", "--port 0") for line in SHARED]
    for told, port in ports.items():
        lines = [line.replace(f":{told}", f":{port}") for line in lines]
    one, other, gateway = (f"127.0.0.1:{port}" for port in ports.values())
    running = [started(lines[0], stdout=subprocess.PIPE)]
    try:
        url = running[0].stdout.readline().strip()
        path = Path("configs/shards.toml")
        path.write_text(path.read_text().replace("ws://127.0.0.1:8765", url))
        running += [started(line) for line in (*lines[1:3], lines[4])]
        until_live(one, other, gateway)
        code, out, err = sfm_stream(*shlex.split(lines[3])[1:])
        assert (code, err) == (0, "")
        assert "a:btcusdt" in out
        assert "b:btcusdt" in out
        for line in lines[5:9]:
            code, out, err = sfm_stream(*shlex.split(line)[1:])
            assert code == 0, err
        assert "moved 1 stream from" in err  # back to its shard
        checked = started(lines[9], stdout=subprocess.PIPE)
        out, _ = checked.communicate(timeout=PATIENCE)
        assert checked.returncode == 0
        assert out.count("are identical") == 2
    finally:
        for one in running:
            one.send_signal(signal.SIGTERM)
            one.communicate(timeout=PATIENCE)
