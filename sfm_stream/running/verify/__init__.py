"""Replay a run from its beginning and compare, record by record, in bounded memory.

Where version, settings, backend and processor are those of the run, every record must
be the same to the last bit. Elsewhere numbers may differ a little, because the order of
sums and the instructions differ; `comparing` holds the tolerances.
"""

from sfm_stream.running.verify.replaying import (
    Verdict,
    blocks_of,
    first,
    misfit,
    verify,
)

__all__ = ["Verdict", "blocks_of", "first", "misfit", "verify"]
