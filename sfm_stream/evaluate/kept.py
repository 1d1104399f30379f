"""Stores results in files, each with a key made of everything that determines it.

So stopped work continues, and after a change only the affected results run again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from sfm_stream.storage import run_folder

PACKAGE = Path(__file__).parents[1]
FOLDERS = (PACKAGE, PACKAGE.parent / "connectors")
"""Folders whose code determines the figures."""
SHELLS = (
    "cli", "cluster", "daemon", "evaluate/kept.py", "evaluate/pace",
    "evaluate/results.py", "evaluate/suite.py", "evaluate/sweep",
    "evaluate/workers.py", "paper", "report", "running/replay.py", "running/verify",
)  # fmt: skip
"""Folders and files of the package that do not affect any figure."""


def key(*decides: object) -> str:
    """Give the SHA-256 of the values that determine a result."""
    return hashlib.sha256(msgspec.json.encode(decides)).hexdigest()


def code(folders: Sequence[Path] = FOLDERS) -> str:
    """Give a digest of the code that determines the figures.

    Args:
        folders: of packages or parts of them; in each, `SHELLS` are left out.
    """
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            if not any(map(path.relative_to(folder).is_relative_to, SHELLS)):
                digest.update(path.read_bytes())
    return digest.hexdigest()


def read(path: Path, key: str) -> dict[str, Any] | None:
    """Read a result; give None if it is absent, damaged, or has another key."""
    if not path.exists():
        return None
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except msgspec.DecodeError:
        return None  # cut off by a power failure: run again
    result: dict[str, Any] = found["result"]
    return result if found.get("key") == key else None


def write(path: Path, key: str, result: dict[str, Any]) -> None:
    """Write a result with its key.

    Raises:
        SinkError: if the disk is full or refuses.
    """
    run_folder.write(path, run_folder.to_json({"key": key, "result": result}))
