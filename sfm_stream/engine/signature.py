"""Checks that a snapshot belongs to this model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sfm_stream import config
from sfm_stream.errors import CheckpointMismatch

FIRST, FORMAT = 1, 2
"""Formats of a state's arrays, raised when their meaning changes; see `earlier`."""
WAYS_OUT = {
    "state_format": "go on with the version that wrote it, or begin a new run",
}


def identity(settings: config.Config, fields: Sequence[str]) -> dict[str, Any]:
    """Give the values that must be equal for a model to load a snapshot."""
    return {
        "state_format": FORMAT,
        "digest": config.digest(config.of_model(settings)),
        "fields": list(fields),
    }


def expect(
    meta: Mapping[str, Any], settings: config.Config, fields: Sequence[str]
) -> None:
    """Refuse the snapshot of another model; accept the first format of this one.

    Raises:
        CheckpointMismatch: naming the first value that differs.
    """
    expected = identity(settings, fields)
    if meta.get("state_format") == FIRST:
        expected = expected_then(meta, settings, expected)
    for key, value in expected.items():
        if meta.get(key) != value:
            raise CheckpointMismatch(
                "checkpoint",
                f"expected {key} {value}, was {meta.get(key)}",
                WAYS_OUT.get(key, "use the configuration and feed it was made with"),
            )


def expected_then(
    meta: Mapping[str, Any], settings: config.Config, now: Mapping[str, Any]
) -> dict[str, Any]:
    """Give the values that must be equal to load a snapshot of the first format."""
    first = config.digest(config.of_model(config.of_first_runs(settings)))
    known = {now["digest"], first} & {meta.get("digest")}
    return {**now, "state_format": FIRST, "digest": known.pop() if known else first}
