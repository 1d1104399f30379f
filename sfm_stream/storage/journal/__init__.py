"""The append-only log of events that makes a live run repeatable.

    folder/000000000000.log.gz   finished segments, named for their first position
    folder/000000081920.log      the active segment
    folder/000000093000.hole     no event was journalled from here to the next segment
    folder/lock                  held by the only process that writes

Every batch is handed to the system before `append` returns, so a killed process loses
no event; `sync` guards against a power cut. An interrupted write leaves a torn tail,
which the next opening removes; damage to bytes that were synced is an error. The mark
is a hash of all events so far: a checkpoint keeps it, so that it is never used with
other events. No clock is read here.
"""

from sfm_stream.storage.journal.reader import (
    blocks,
    end,
    first,
    mark_at,
    read,
    unbroken,
)
from sfm_stream.storage.journal.writer import Journal

__all__ = ["Journal", "blocks", "end", "first", "mark_at", "read", "unbroken"]
