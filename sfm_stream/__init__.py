"""A streaming online forecaster around the State-Frequency Memory RNN."""

from __future__ import annotations

__version__ = "0.1.0"
