"""The fingerprint of a run: all that decides its records to the last bit."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from sfm_stream import __version__, config

if TYPE_CHECKING:
    from sfm_stream.backends.contract import Backend


def of(settings: config.Config, backend: Backend) -> dict[str, Any]:
    """Give versions, settings and processor: they decide records to the last bit.

    Args:
        settings: settings of the run.
        backend: the backend that computes the records.
    """
    # torch takes a second to import, so its version is read from its package data
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
