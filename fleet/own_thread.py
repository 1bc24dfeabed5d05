"""Run a coroutine in a thread with an event loop of its own, so that whatever blocks our loop does not delay it."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future


async def in_own_thread(main: Callable[[], Coroutine[None, None, None]], name: str) -> None:
    """Until `main` ends: its exception is raised here; our cancellation cancels it and waits for its end.

    `main` is called in the thread, so what it makes belongs to that loop. The interpreter lock is shared: pure Python that
    blocks gives way every few milliseconds, a C call that keeps the lock does not.
    """
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = Future()
    ended: Future[None] = Future()

    def work() -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(_tell(started, main))
        except asyncio.CancelledError:
            ended.set_result(None)
        except BaseException as error:  # noqa: BLE001 - raised again where the thread was started
            ended.set_exception(error)
        else:
            ended.set_result(None)

    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    end = asyncio.wrap_future(ended)
    try:
        await asyncio.shield(end)
    except asyncio.CancelledError:
        loop, task = await asyncio.wrap_future(started)
        loop.call_soon_threadsafe(task.cancel)
        await end
        raise
    finally:
        if ended.done():
            thread.join()


async def _tell(
    started: "Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]]",
    main: Callable[[], Coroutine[None, None, None]],
) -> None:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a runner runs its coroutine in a task")
    started.set_result((asyncio.get_running_loop(), task))
    await main()
