"""What the last bit of every record depends on."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from sfm_stream import __version__, config

if TYPE_CHECKING:
    from sfm_stream.backends.contract import Backend


def of(settings: config.Config, backend: Backend) -> dict[str, Any]:
    """Give what the last bit of every record depends on.

    Args:
        settings: of the run.
        backend: that computes.
    """
    # torch takes a second to import, so its version is looked up, not asked for
    import llvmlite.binding as llvm

    features: Mapping[str, bool] = llvm.get_host_cpu_features()
    return {
        "version": __version__,
        "config": config.digest(settings),
        "backend": backend.name,
        **{name: version(name) for name in ("numba", "torch", *backend.packages)},
        "cpu": llvm.get_host_cpu_name(),
        "cpu_features": sorted(name for name, there in features.items() if there),
        "threads": backend.threads,
    }
