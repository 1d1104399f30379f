"""The program: `sfm-stream`, or `python -m sfm_stream`."""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line; exit without a traceback if its import is interrupted."""
    try:
        from sfm_stream import cli
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    cli.main()


if __name__ == "__main__":
    main()
