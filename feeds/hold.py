"""What a daemon is to one pair, and small words about pairs that its ownership uses."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from redis.exceptions import RedisError

from feeds.warm import Continuity, WarmLine
from fleet.errors import FleetError
from fleet.hold_states import Event, State, next_state
from fleet.pair import Pair
from fleet.succession import Duty
from fleet.tasks.model import Wanted

AT_ONCE = 16  # acquires under way
WARM_PRIORITY = 2  # requests of pairs kept warm go after those of owned ones: books in use are mended first
NAMED_MOST = 5  # pairs named in a log line about many


class Subscriber(Protocol):
    """Who feeds the pairs we own or keep warm."""

    def subscribe(self, pair: Pair, depth: str, channels: frozenset[str], priority: int = 1) -> None:
        """Start, or change what is had. Requests go by `priority`: 0 first, for pairs that are traded; 2 for those kept warm."""
        ...

    def unsubscribe(self, pair: Pair) -> None:
        """Stop; a live book's last event is a Reset."""
        ...

    def is_held(self, pair: Pair) -> bool:
        """Whether the pair waits in quarantine: then it is not passed to others."""
        ...

    def continuity(self, pair: Pair, depth: str) -> Continuity | None:
        """What proves that deltas of two connections follow each other; None: the pair cannot be had."""
        ...


class Hold:
    """What we are to one pair. `line` while WARM, `duty` what for; `until_ms` the end of lingering; `offered_to` who may
    take it."""

    __slots__ = (
        "duty",
        "leave_by_ms",
        "line",
        "offered_ms",
        "offered_to",
        "pair",
        "reason",
        "state",
        "until_ms",
        "wish",
    )

    def __init__(self, wish: Wanted) -> None:
        self.pair = wish.pair
        self.wish = wish
        self.state = State.ABSENT
        self.duty = Duty.NONE
        self.line: WarmLine | None = None
        self.until_ms: float | None = None
        self.leave_by_ms = 0.0
        self.offered_to = ""
        self.offered_ms = 0.0
        self.reason = ""

    def __repr__(self) -> str:
        return f"<Hold {self.pair} {self.state}>"

    def step(self, event: Event) -> None:
        """The only writer of `state`."""
        self.state = next_state(self.state, event)


def same_lines(wish: Wanted, held: Wanted) -> bool:
    """Whether both are published in the same lines; else the line ends and a new one begins."""
    return wish.depth == held.depth and ("trades" in wish.channels) == ("trades" in held.channels)


def priority(wish: Wanted) -> int:
    """Of a pair that is owned. 0 when it is traded: its requests go first."""
    return 0 if wish.traded else 1


async def side_by_side(work: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """A few at a time, in this order. After an error nothing new is begun; it is raised when all under way have ended."""
    waiting, errors = deque(work), list[Exception]()

    async def worker() -> None:
        while waiting and not errors:
            try:
                await waiting.popleft()()
            except (RedisError, FleetError, OSError) as error:
                errors.append(error)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(AT_ONCE, len(waiting))):
            group.create_task(worker(), name="ownership: acquire")
    if errors:
        raise errors[0]


def named(pairs: Iterable[Pair], more: str = "") -> str:
    """Some of many pairs, for one log line."""
    names = [str(pair) for pair in pairs]
    rest = f" and {len(names) - NAMED_MOST} more" if len(names) > NAMED_MOST else ""
    return ", ".join(names[:NAMED_MOST]) + rest + (f" ({more})" if more else "")
