"""Run the command line as `python -m sfm_stream`."""

from __future__ import annotations

from sfm_stream.cli import main

main()
