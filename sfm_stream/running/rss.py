"""Memory of this process, and memory available on the machine."""

from __future__ import annotations

import resource
from pathlib import Path

STATUS = Path("/proc/self/status")
MACHINE = Path("/proc/meminfo")
GROUP = Path("/sys/fs/cgroup")
KIB_PER_MIB = 1024


def peak_rss_mib() -> float:
    """Give the peak resident memory of this process, MiB."""
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / KIB_PER_MIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MIB


def rss_mib() -> float:
    """Give the resident memory of this process, MiB; its peak where unknown."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return peak_rss_mib()
    return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20


def available_mib(machine: Path = MACHINE, group: Path = GROUP) -> float | None:
    """Give the memory still available, MiB; None where the system does not report it.

    Args:
        machine: the kernel's file about all memory.
        group: folder of the control group, with the limits of a container.
    """
    said = [_in_group(group)]
    if machine.exists():
        lines = machine.read_text().splitlines()
        said += [int(one.split()[1]) / KIB_PER_MIB for one in lines
                 if one.startswith("MemAvailable:")]  # fmt: skip
    return min((mib for mib in said if mib is not None), default=None)


def _in_group(group: Path) -> float | None:
    most, now = group / "memory.max", group / "memory.current"
    if not (most.exists() and now.exists()) or most.read_text().strip() == "max":
        return None
    held = int(now.read_text()) - _given_back(group / "memory.stat")
    return (int(most.read_text()) - held) / 2**20


def _given_back(stat: Path) -> int:
    """Give the bytes of files in memory that the kernel drops when others need it."""
    lines = stat.read_text().splitlines() if stat.exists() else []
    found = [line.split()[1] for line in lines if line.startswith("inactive_file ")]
    return int(found[0]) if found else 0
