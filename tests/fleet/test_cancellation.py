"""A cancellation counts, whatever a client library does with it."""

import asyncio

import pytest

from fleet.cancellation import heeding


async def forgetful(answer: str | None) -> str:
    """Like asyncio.wait_for before Python 3.12 when a result comes together with the cancellation."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if answer is None:
            raise ConnectionError("something else instead") from None
    return str(answer)


@pytest.mark.parametrize("answer", ["a result", None])
async def test_a_cancellation_the_client_dropped_is_raised(answer):
    task = asyncio.get_running_loop().create_task(heeding(forgetful(answer)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_a_timeout_around_a_dropped_cancellation_is_a_timeout():
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await heeding(forgetful("a result"))


async def test_answers_and_errors_pass():
    async def answer() -> int:
        return 5

    async def fail() -> int:
        raise KeyError("x")

    assert await heeding(answer()) == 5
    with pytest.raises(KeyError):
        await heeding(fail())


async def test_a_cancellation_asked_for_while_the_task_ran_is_delivered_before_the_call() -> None:
    called = []

    async def call() -> None:
        called.append(1)

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await heeding(call())

    with pytest.raises(asyncio.CancelledError):
        await asyncio.get_running_loop().create_task(work())
    assert called == []
