"""What the pages explain is all that there is to explain."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess

import msgspec
import pytest

from tests import pages
from tests.daemon_web import asked, served
from tests.test_pages import understood
from tests.vitals_rig import WELL

DAEMON = "sfm_stream/daemon/README.md"
SERVICE = pages.section(DAEMON, "## Running it as a service")


async def index():
    """Give a daemon's own list of its pages."""
    async with served() as (_, url):
        return (await asked(url, "/"))[2].decode()


OPEN = {"counters", "rejections", "failures"}


def test_what_a_daemon_answers_is_explained():
    tree = msgspec.to_builtins(WELL)
    one_of = {"streams": tree["streams"]["btcusdt"], "feeds": tree["feeds"][0],
              "sinks": tree["sinks"][0]}  # fmt: skip
    for name, value in (tree | one_of).items():
        (row,) = re.findall(rf"^\| `{name}` \| (.+)$", SERVICE, re.MULTILINE)
        # What feeds count, reasons and parts that failed are named by themselves.
        told = isinstance(value, dict) and name not in OPEN
        parts = value if told else {}
        assert [part for part in parts if f"`{part}`" not in row] == []
    shown = {name for name in pages.first_column(SERVICE) if name.startswith("/")}
    _, *listed = asyncio.run(index()).split()
    assert shown == {"/", *(name for name in listed if name.startswith("/"))}


def test_systemd_takes_the_unit(tmp_path):
    (unit,) = pages.blocks("ini", SERVICE)
    assert "Type=notify\n" in unit
    if shutil.which("systemd-analyze") is None:
        pytest.skip("this machine has no systemd")
    path = tmp_path / "sfm-stream.service"
    program = re.compile(r"(?<=^ExecStart=)\S+", re.MULTILINE)
    path.write_text(program.sub("/bin/true", unit))
    said = subprocess.run(  # noqa: S603
        [shutil.which("systemd-analyze"), "verify", path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (said.returncode, said.stderr) == (0, "")


def test_the_summary_is_explained(lived_in):
    summary = json.loads((lived_in / "runs/demo-001/summary.json").read_text())
    told = pages.section("sfm_stream/running/README.md", "## What a run leaves behind")
    for name in (*summary, *summary["horizons"]["1"]):
        assert f"`{name}`" in told
    for entry in (lived_in / "runs/demo-001").iterdir():
        assert entry.name in told


def test_the_container_starts_what_the_program_knows():
    (text,) = pages.blocks("dockerfile", SERVICE)
    said = {name: json.loads(words) for name, words in
            re.findall(r"^(ENTRYPOINT|CMD) (.+)$", text, re.MULTILINE)}  # fmt: skip
    program, *words = said["ENTRYPOINT"] + said["CMD"]
    assert program == "sfm-stream"
    understood(words)
    assert "http://127.0.0.1:8788/healthz" in text
