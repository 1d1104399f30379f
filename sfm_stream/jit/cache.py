"""The cache of machine code on disk, cleared when its sources change.

numba renews a cached function when the file that holds it changes, and does not look
at the files whose functions were compiled into it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

STAMP = "sfm-stream.sources"


class Sources(NamedTuple):
    """What machine code is made of.

    Attributes:
        patterns: of files, from the root of the package.
        but_for: names of files that match and are not compiled.
    """

    patterns: Iterable[str]
    but_for: Iterable[str] = ()

    def files(self) -> Iterator[Path]:
        """Give every file, in order."""
        root = Path(__file__).parents[1]
        found = sorted(path for name in self.patterns for path in root.glob(name))
        return (path for path in found if path.name not in self.but_for)


def holds(cache: str, entry: str, sources: Sources) -> bool:
    """Say whether a folder holds the machine code of an entry as it is now.

    An approximation: one made for another processor is found too.

    Args:
        cache: where numba keeps what it compiled.
        entry: as numba names it: module and function.
        sources: of it.
    """
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    made = any(Path(cache).glob(f"{entry}-*.{python}.nbi"))
    return made and _stamped(cache) == _stamp(sources)


def discard(cache: str, sources: Sources) -> None:
    """Throw away what a folder holds, unless it was made of the sources as they are.

    Args:
        cache: where numba keeps what it compiled of these sources alone.
        sources: of it.
    """
    now, folder = _stamp(sources), Path(cache)
    if _stamped(cache) == now:
        return
    for index in folder.glob("*.nbi"):
        index.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STAMP).write_text(now, encoding="utf-8")


def _stamped(cache: str) -> str:
    stamp = Path(cache) / STAMP
    return stamp.read_text(encoding="utf-8") if stamp.exists() else ""


# Times and sizes rather than "newer than": an older version put back is a change too.
def _stamp(sources: Sources) -> str:
    root = Path(__file__).parents[1]
    stats = [(path.relative_to(root), path.stat()) for path in sources.files()]
    return "\n".join(f"{name} {s.st_mtime_ns} {s.st_size}" for name, s in stats)
