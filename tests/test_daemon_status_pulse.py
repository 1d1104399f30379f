from __future__ import annotations

import asyncio

import pytest

from sfm_stream.daemon.status.pulse import PAUSE, Pulse
from tests.daemon_rig import Time


def test_what_holds_the_loop_longer_than_asked_is_noted():
    clock, holds = Time(), iter([0.0, 0.25, -0.001])

    async def sleep(seconds):
        held = next(holds, None)
        if held is None:
            raise asyncio.CancelledError
        clock.seconds += seconds + held

    told = []
    pulse = Pulse(told.append, sleep, clock.elapsed)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(pulse.beat())
    assert told == pytest.approx([0.0, 0.25, 0.0], abs=1e-9)
    assert pulse.late.values().tolist() == told


def test_a_loop_that_is_held_is_seen():
    async def held():
        pulse = Pulse()
        beating = asyncio.create_task(pulse.beat())
        await asyncio.sleep(PAUSE / 2)
        end = asyncio.get_running_loop().time() + 10 * PAUSE
        while asyncio.get_running_loop().time() < end:
            pass  # as a long computation does
        while not pulse.late.count:
            await asyncio.sleep(PAUSE)
        beating.cancel()
        return pulse.late.values().max()

    assert asyncio.run(held()) > 8 * PAUSE
