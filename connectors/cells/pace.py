"""Find times far ahead of their stream's pace, by the rows that follow them.

A time that is ahead by an hour or by years would silence a stream until that time: each
later row seems to go back. If the later rows continue from the row before it, the few
rows between are wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sfm_stream.events import NO_TIME, Ints

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST = 12
"""Most rows in a row that may be wrong; a longer run is a real step of the stream."""
FAR = 100
"""A time is far ahead by more than this many median steps."""
ENOUGH = 3
"""Number of forward steps needed for a median step."""


def ahead(time: Ints, stream: NDArray[np.int32] | None) -> Ints:
    """Find the rows whose time is far ahead of their stream's pace.

    Args:
        time: [T], ns, `NO_TIME` where a row has no time.
        stream: [T], the row's stream; None if there is one stream.

    Returns:
        int64 [N], positions of these rows.
    """
    if not (np.diff(time) < 0).any():
        return np.empty(0, np.int64)
    told = np.flatnonzero(time != NO_TIME)
    if stream is None:
        return told[_ahead(time[told])]
    order = told[np.argsort(stream[told], kind="stable")]
    cuts = np.flatnonzero(np.diff(stream[order])) + 1
    found = [part[_ahead(time[part])] for part in np.split(order, cuts)]
    return np.sort(np.concatenate(found))


def waiting(time: Ints, stream: NDArray[np.int64] | None) -> int:
    """Count the last rows for which only later rows can show whether they are ahead.

    Args:
        time: [T], ns, `NO_TIME` where a row has no time.
        stream: [T], the row's stream; None if there is one stream.

    Returns:
        The number of rows from the first far step among the last `MOST` steps of any
        stream to the end; 0 if there is no such step.
    """
    told = np.flatnonzero(time != NO_TIME)
    parts = [told]
    if stream is not None:
        order = told[np.argsort(stream[told], kind="stable")]
        parts = np.split(order, np.flatnonzero(np.diff(stream[order])) + 1)
    first = len(time)
    for part in parts:
        steps = np.diff(time[part])
        forward = steps[steps > 0]
        if len(forward) >= ENOUGH:
            far = steps[-MOST:] > FAR * int(np.median(forward))
            if far.any():
                first = min(first, int(part[int(np.argmax(far)) - len(far)]))
    return len(time) - first


def _ahead(time: Ints) -> Ints:
    """Find the rows of one stream that are far ahead."""
    steps = np.diff(time)
    forward, back = steps[steps > 0], np.flatnonzero(steps < 0)
    if len(forward) < ENOUGH or len(back) > len(forward):
        return np.empty(0, np.int64)
    far = FAR * int(np.median(forward))
    found = [row for last in back.tolist() for row in _run(time, last, far)]
    return np.array(found, np.int64)


def _run(time: Ints, last: int, far: int) -> range:
    """Give the run of rows that ends at a step back, if they are far ahead."""
    after = int(time[last + 1])
    first = last
    while first and last - first < MOST and time[first - 1] > after:
        first -= 1
    is_short = last - first < MOST
    before = int(time[first - 1]) if first else after
    if is_short and before <= after and int(time[first : last + 1].min()) - after > far:
        return range(first, last + 1)
    return range(0)
