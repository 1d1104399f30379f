"""Whether a snapshot belongs to this model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sfm_stream import config
from sfm_stream.errors import CheckpointMismatch

FORMAT = 1


def identity(settings: config.Config, fields: Sequence[str]) -> dict[str, Any]:
    """Give what must be equal for a model to take a snapshot back."""
    return {
        "state_format": FORMAT,
        "digest": config.digest(config.of_model(settings)),
        "fields": list(fields),
    }


def expect(
    meta: Mapping[str, Any], settings: config.Config, fields: Sequence[str]
) -> None:
    """Refuse the snapshot of another model.

    Raises:
        CheckpointMismatch: naming the first thing that differs.
    """
    for key, value in identity(settings, fields).items():
        if meta.get(key) != value:
            raise CheckpointMismatch(
                "checkpoint",
                f"expected {key} {value}, was {meta.get(key)}",
                "use the configuration and feed it was made with",
            )
