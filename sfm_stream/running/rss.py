"""How much memory this process has held."""

from __future__ import annotations

import resource
from pathlib import Path

STATUS = Path("/proc/self/status")
KIB_PER_MIB = 1024


def peak_rss_mib() -> float:
    """Give the most memory this process has held, MiB."""
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / KIB_PER_MIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MIB


def rss_mib() -> float:
    """Give the resident memory of this process now; its highest where unknown."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return peak_rss_mib()
    return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20
