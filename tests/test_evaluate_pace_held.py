from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PATIENCE = 120.0
HELD = [sys.executable, "-u", "-m", "sfm_stream.evaluate.pace.held"]
# Starts a process that is held, and waits for ever.
PARENT = """
import subprocess, sys, threading
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
threading.Event().wait()
"""
SERVER = ["http.server", "--bind", "127.0.0.1", "0"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_module_runs_until_its_parent_is_ended(how):
    with subprocess.Popen(  # noqa: S603 our own program
        [sys.executable, "-c", PARENT, *HELD, *SERVER], cwd=ROOT, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout.readline().startswith(b"Serving HTTP on 127.0.0.1")
        parent.send_signal(how)
        # It is read to its end when the last process that could write has ended.
        parent.communicate(timeout=PATIENCE)
    assert parent.returncode != 0
