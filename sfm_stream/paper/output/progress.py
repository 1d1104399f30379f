"""Shows the progress of trainings on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from sfm_stream.paper.training import trials
from sfm_stream.report.terminal import people


@contextmanager
def show() -> Iterator[trials.Watch]:
    """Show the progress of trainings; the bar appears only on terminals."""
    console, say = people()
    if not sys.stderr.isatty():
        yield trials.Watch(say)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("")

        def progress(title: str, done: int, total: int) -> None:
            bar.update(task, description=title, completed=done, total=total)

        yield trials.Watch(say, progress)
