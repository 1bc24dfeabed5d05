"""Signals of a process that has to clean up."""

import asyncio
import os
import signal

import pytest

from ops.interruption import Interruption


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_cancels_work_that_has_nothing_to_finish(number) -> None:
    async def work() -> None:
        with Interruption() as interruption:
            try:
                os.kill(os.getpid(), number)
                await asyncio.sleep(30)
            finally:
                seen.append(interruption.number)

    seen: list[signal.Signals | None] = []
    with pytest.raises(asyncio.CancelledError):
        await work()
    assert seen == [number]


async def test_the_first_signal_lets_work_finish_and_the_second_cancels_it() -> None:
    async def work() -> None:
        with Interruption() as interruption:
            interruption.finishing = True
            os.kill(os.getpid(), signal.SIGINT)
            await interruption.pause(30)
            seen.append(interruption.number)
            os.kill(os.getpid(), signal.SIGTERM)
            try:
                await asyncio.sleep(30)
            finally:
                seen.append(interruption.number)

    seen: list[signal.Signals | None] = []
    with pytest.raises(asyncio.CancelledError):
        await work()
    assert seen == [signal.SIGINT, signal.SIGTERM]


async def test_a_pause_without_a_signal_passes() -> None:
    with Interruption() as interruption:
        await interruption.pause(0.001)
        await interruption.pause(-1)
        assert not interruption.asked.is_set()


async def test_signals_are_taken_again_after_somebody_else_had_them() -> None:
    loop = asyncio.get_running_loop()
    with Interruption() as interruption:
        interruption.finishing = True
        loop.remove_signal_handler(signal.SIGTERM)
        interruption.listen()
        os.kill(os.getpid(), signal.SIGTERM)
        await interruption.pause(30)
        assert interruption.number is signal.SIGTERM


async def test_afterwards_signals_mean_what_they_meant_before() -> None:
    with Interruption():
        pass
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
