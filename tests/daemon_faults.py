"""Faults that a live process must bear, each as a command.

    python -m tests.daemon_faults NAME [ARGUMENT...]

carries out one of `FAULTS` on a process of its own, prints a line of JSON with what it
measured, and raises where the process did not bear it.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module

FAULTS = {
    "connections": "more idle connections than the process may open files",
    "flood": "more frames than can be learned from",
}


def main(name, arguments):
    module = import_module(f"tests.fault_{name}")
    sys.stdout.write(json.dumps(module.carry_out(arguments)) + "\n")


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in FAULTS:
        known = "\n".join(f"    {name:12} {what}" for name, what in FAULTS.items())
        sys.exit(f"expected one of\n{known}")
    main(sys.argv[1], sys.argv[2:])
