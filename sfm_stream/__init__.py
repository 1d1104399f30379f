"""A streaming online forecaster around the State-Frequency Memory RNN."""

from __future__ import annotations

TYPE_CHECKING = False  # as in `typing`, which takes as long to load as Python itself
if TYPE_CHECKING:
    from sfm_stream.report.runs import Run

__version__ = "0.1.0"
__all__ = ["Run", "__version__"]


def __getattr__(name: str) -> object:
    """Load `Run` when it is first asked for: it needs numpy and polars."""
    if name == "Run":
        from sfm_stream.report.runs import Run

        return Run
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
