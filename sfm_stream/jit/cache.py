"""The cache of machine code on disk, cleared when its sources change.

numba compiles a cached function again when its file changes, but ignores changes of the
files whose functions were compiled into it.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from numba.core.dispatcher import Dispatcher

STAMP = "sfm-stream.sources"


class Sources(NamedTuple):
    """The source files of machine code.

    Attributes:
        patterns: of files, relative to the root of the package.
        but_for: names of matching files that are not compiled.
    """

    patterns: Iterable[str]
    but_for: Iterable[str] = ()

    def files(self) -> Iterator[Path]:
        """Give all source files, in order."""
        root = Path(__file__).parents[1]
        found = sorted(path for name in self.patterns for path in root.glob(name))
        return (path for path in found if path.name not in self.but_for)


def holds(cache: str, entry: str, sources: Sources) -> bool:
    """Say whether a folder holds machine code of an entry for the present sources.

    This is an approximation: code for another processor counts too.

    Args:
        cache: folder of numba's compiled code.
        entry: name of module and function in numba's form.
        sources: of the machine code.
    """
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    made = any(Path(cache).glob(f"{entry}-*.{python}.nbi"))
    return made and _stamped(cache) == _stamp(sources)


def discard(caches: Collection[str], sources: Sources) -> None:
    """Empty the cache folders, unless all were made from the present sources.

    All folders are emptied together: code of one may be compiled into code of another.

    Args:
        caches: folders with numba's compiled code of these sources only.
        sources: of the machine code.
    """
    now = _stamp(sources)
    if all(_stamped(cache) == now for cache in caches):
        return
    for cache in caches:
        _empty(Path(cache))
        (Path(cache) / STAMP).write_text(now, encoding="utf-8")


def folders(package: str) -> list[str]:
    """Give the folders of numba's compiled code for the loaded modules of a package.

    Args:
        package: its import name; each inner package has its own folder.
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
    """Delete the index files in a folder, so that its code is not used; create it."""
    for index in folder.glob("*.nbi"):
        index.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)


def _stamped(cache: str) -> str:
    stamp = Path(cache) / STAMP
    return stamp.read_text(encoding="utf-8") if stamp.exists() else ""


# Times and sizes are compared for equality: an older file put back is a change too.
def _stamp(sources: Sources) -> str:
    root = Path(__file__).parents[1]
    stats = [(path.relative_to(root), path.stat()) for path in sources.files()]
    return "\n".join(f"{name} {s.st_mtime_ns} {s.st_size}" for name, s in stats)
