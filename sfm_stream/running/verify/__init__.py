"""Verifies a run: replays it from its start and compares each record.

With the version, settings, backend and processor of the run, every record must be equal
to the last bit. Otherwise numbers may differ a little, because the order of sums and
the instructions differ; `comparing` holds the tolerances. Memory is bounded.
"""

from sfm_stream.running.verify.replaying import (
    Verdict,
    blocks_of,
    first,
    misfit,
    verify,
)

__all__ = ["Verdict", "blocks_of", "first", "misfit", "verify"]
