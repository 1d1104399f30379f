"""Runs a live process that signals stop or reload."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping

from sfm_stream.daemon.host import pid_file
from sfm_stream.daemon.process import Given, Process
from sfm_stream.daemon.status.model import NOT_YET_LIVE
from sfm_stream.notices import Say, info

STOPS = (signal.SIGTERM, signal.SIGINT)
AT_ONCE = 1
"""Exit code after a second signal."""


async def live(given: Given, say: Say, environment: Mapping[str, str]) -> None:
    """Run a process until SIGTERM or SIGINT.

    A second signal ends it at once; the journal holds all events for the next start.
    SIGHUP reloads the configuration.

    Raises:
        SFMStreamError: if the process cannot start or cannot continue.
    """
    loop = asyncio.get_running_loop()
    process = Process(given, say, environment)
    reloading: set[asyncio.Task[None]] = set()

    def stop() -> None:
        if process.state in NOT_YET_LIVE:
            say(info("stopped before it was live: nothing is lost"))
            pid_file.sign(given.folder, pid_file.STOPPED)
            os._exit(0)
        for number in STOPS:
            loop.add_signal_handler(number, os._exit, AT_ONCE)
        say(info("stopping; a second signal stops at once"))
        process.stop()

    def reload() -> None:
        task = loop.create_task(process.reload())
        process.failures.watch(task, "reload")
        reloading.add(task)  # the loop itself keeps no reference
        task.add_done_callback(reloading.discard)

    for number in STOPS:
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, reload)
    await process.run()
