"""The append-only log of events that makes a live run repeatable.

    folder/000000000000.log.gz   finished segments, named for their first position
    folder/000000081920.log      the active one
    folder/000000093000.hole     from here to the next segment nothing was journalled
    folder/lock                  held by the one process that writes

Every batch is handed to the system before `append` returns, so a killed process loses
nothing; `sync` guards against a power cut. A write cut short leaves a torn tail, which
the next opening removes; damage is refused up to where the last sync reached. The mark
names all events so far by content: a checkpoint keeps it, so that it is never used with
the events of another history. No clock is read here.
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
