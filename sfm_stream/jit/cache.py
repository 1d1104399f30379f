"""The cache of machine code on disk, cleared when its sources change.

numba renews a cached function when the file that holds it changes, and does not look
at the files whose functions were compiled into it.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from numba.core.dispatcher import Dispatcher

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


def discard(caches: Collection[str], sources: Sources) -> None:
    """Throw away what folders hold, unless all was made of the sources as they are.

    All of them at once: what one holds may be compiled into what another does.

    Args:
        caches: where numba keeps what it compiled of these sources alone.
        sources: of it.
    """
    now = _stamp(sources)
    if all(_stamped(cache) == now for cache in caches):
        return
    for cache in caches:
        _empty(Path(cache))
        (Path(cache) / STAMP).write_text(now, encoding="utf-8")


def folders(package: str) -> list[str]:
    """Give where numba keeps what it compiled of the loaded modules of a package.

    Args:
        package: as it is imported; a room within another has a folder of its own.
    """
    modules = [m for name, m in sys.modules.items() if name.startswith(package)]
    compiled = [
        each
        for module in modules
        for each in vars(module).values()
        if isinstance(each, Dispatcher) and each.__module__.startswith(package)
    ]
    return sorted({str(each.stats.cache_path) for each in compiled})


def _empty(folder: Path) -> None:
    """Forget what a folder holds, and have it be there."""
    for index in folder.glob("*.nbi"):
        index.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)


def _stamped(cache: str) -> str:
    stamp = Path(cache) / STAMP
    return stamp.read_text(encoding="utf-8") if stamp.exists() else ""


# Times and sizes rather than "newer than": an older version put back is a change too.
def _stamp(sources: Sources) -> str:
    root = Path(__file__).parents[1]
    stats = [(path.relative_to(root), path.stat()) for path in sources.files()]
    return "\n".join(f"{name} {s.st_mtime_ns} {s.st_size}" for name, s in stats)
