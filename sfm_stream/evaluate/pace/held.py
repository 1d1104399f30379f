"""Runs a module of this package until its standard input ends.

    python -m sfm_stream.evaluate.pace.held MODULE ARGUMENTS...

The input is a pipe from the parent process. The pipe closes however the parent ends.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading


def main() -> None:
    """Run the module that the command line names, until the input ends."""
    threading.Thread(target=_end_with_the_input, daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _end_with_the_input() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    main()
