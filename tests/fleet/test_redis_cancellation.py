"""A cancelled task ends, wherever its Redis command was at that moment."""

import asyncio

import pytest
from pydantic import SecretStr

from fleet.config import Settings
from fleet.redis_connection import connect


@pytest.mark.parametrize("turns", range(8))
async def test_a_cancellation_is_never_lost_in_a_write(redis_url, turns):
    """redis-py writes inside asyncio.wait_for, which before Python 3.12 drops a cancellation that comes with the end of
    the write (gh-86296): the task would go on for ever."""
    client = connect(Settings(redis_url=SecretStr(redis_url)))
    await client.ping()
    task = asyncio.get_running_loop().create_task(client.blpop(["nothing"], timeout=3))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=1)
    assert done, "the task went on after it was cancelled"
    assert task.cancelled()
    assert await client.ping(), "the client is of use afterwards"
    await client.aclose()


async def test_a_cancellation_reaches_a_pipeline_too(redis_url):
    client = connect(Settings(redis_url=SecretStr(redis_url)))
    await client.ping()
    for turns in range(12):
        went_on = False

        async def work() -> None:
            async with client.pipeline(transaction=True) as pipe:
                pipe.get("nothing")
                await pipe.execute()
            nonlocal went_on
            went_on = True
            await asyncio.Event().wait()

        task = asyncio.get_running_loop().create_task(work())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=1)
        if not done:
            task.cancel()
        assert done, f"cancelled after {turns} turns of the loop, the task went on (past the command: {went_on})"
    await client.aclose()


async def test_a_cancellation_asked_for_while_the_task_ran_is_not_lost_in_its_next_command(redis_url):
    """As Ctrl-C does between two commands: it waits for the task's next pause, which is inside redis-py."""
    client = connect(Settings(redis_url=SecretStr(redis_url)))
    await client.ping()

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await client.blpop(["nothing"], timeout=3)

    task = asyncio.get_running_loop().create_task(work())
    done, _ = await asyncio.wait({task}, timeout=1)
    assert done, "the task went on after it was cancelled"
    assert task.cancelled()
    assert await client.ping(), "the client is of use afterwards"
    await client.aclose()
