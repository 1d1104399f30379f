"""A live process of its own for commands that do it harm, and how to ask it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

PATIENCE = 120.0
SETTLING = 1.0


class Living(NamedTuple):
    """A live process: itself, the address of its pages, its folder, its log."""

    process: subprocess.Popen
    url: str
    run: Path
    log: list


@contextmanager
def living(config, *before):
    """Start a process on the text of a configuration; it has ticks when this returns.

    Args:
        config: TOML; `daemon.listen` should leave the port open.
        before: a command that is put before it, such as `prlimit --nofile=1024`.
    """
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "live.toml").write_text(config)
        line = [*before, sys.executable, "-m", "sfm_stream", "daemon",
                str(place / "live.toml"), "--out", str(place / "run")]  # fmt: skip
        process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)  # noqa: S603
        try:
            said = []
            found = threading.Event()
            threading.Thread(
                target=_listen, args=(process.stderr, said, found), daemon=True
            ).start()
            if not found.wait(PATIENCE):
                raise RuntimeError(f"it serves no page: {said}")
            url = next(line for line in said if "/status" in line).split()[-1]
            one = Living(process, url.removesuffix("/status"), place / "run", said)
            _until_ticks(one)
            yield one
        finally:
            process.kill()
            process.wait()


def _listen(pipe, said, found):
    for line in pipe:
        said.append(json.loads(line)["event"] if line.startswith("{") else line)
        if "/status" in said[-1]:
            found.set()


def _until_ticks(one):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if json.loads(asked(one.url, "/status")[0])["ticks"]:
            time.sleep(SETTLING)
            return
        time.sleep(0.1)
    raise RuntimeError("no tick came")


def asked(url, page):
    """Ask for a page; give it and the seconds it took."""
    begun, place = time.perf_counter(), urlsplit(url)
    there = HTTPConnection(place.hostname, place.port, timeout=30)
    try:
        there.request("GET", page)
        body = there.getresponse().read()
    finally:
        there.close()
    return body, time.perf_counter() - begun
