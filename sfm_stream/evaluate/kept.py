"""Results kept in files, each under a key of all that decides it.

So work that was stopped continues; after a change what it affects runs again.
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
"""Figures come from the code of these."""
SHELLS = (
    "cli", "cluster", "daemon", "evaluate/kept.py", "evaluate/pace",
    "evaluate/results.py", "evaluate/suite.py", "evaluate/sweep",
    "evaluate/workers.py", "paper", "report", "running/replay.py", "running/verify",
)  # fmt: skip
"""Rooms and files of the package from which no figure comes."""


def key(*decides: object) -> str:
    """Give the SHA-256 of all that decides a result, as plain values."""
    return hashlib.sha256(msgspec.json.encode(decides)).hexdigest()


def code(folders: Sequence[Path] = FOLDERS) -> str:
    """Give a digest of the code that figures come from.

    Args:
        folders: of packages or rooms; in each, `SHELLS` are left out.
    """
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            if not any(map(path.relative_to(folder).is_relative_to, SHELLS)):
                digest.update(path.read_bytes())
    return digest.hexdigest()


def read(path: Path, key: str) -> dict[str, Any] | None:
    """Give a result, if it is there and of this key."""
    if not path.exists():
        return None
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except msgspec.DecodeError:
        return None  # torn by a power cut: run again
    result: dict[str, Any] = found["result"]
    return result if found.get("key") == key else None


def write(path: Path, key: str, result: dict[str, Any]) -> None:
    """Keep a result.

    Raises:
        SinkError: if the disk is full or refuses.
    """
    run_folder.write(path, run_folder.to_json({"key": key, "result": result}))
