"""PURE. What is said between a pair's feed and its session."""

from enum import StrEnum
from typing import Protocol

from books.events import Event

NEVER = float("inf")  # of a deadline in ms


class Want(StrEnum):
    """What a pair needs done for its next snapshot."""

    FETCH = "fetch"  # GET a snapshot, then call `fetched` or `fetch_failed`
    RESUBSCRIBE = "resubscribe"  # unsubscribe, wait for the acknowledgement, subscribe, then call `subscribed`


class FeedState(StrEnum):
    """For showing; `PairFeed.live` is what decides."""

    WAITING = "waiting"  # no subscription yet, or no connection
    SYNCING = "syncing"
    LIVE = "live"
    QUARANTINE = "quarantine"  # it failed, and is held until it is tried again (feeds.quarantine)


class Sink(Protocol):
    """Where events go: a list will do."""

    def append(self, event: Event, /) -> None: ...
