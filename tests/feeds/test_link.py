"""A session on a real socket: what it says is carried out, and a fault of our own stays where it is."""

import asyncio
import json
import random
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from books.events import Reset, Snapshot, SnapshotReason
from feeds.link import Link, LinkOwner
from feeds.outputs import Failure, FailureKind
from feeds.session import Session
from feeds.venue import Instruments, RestRequest, Undecodable
from tests.support.fake_venue import FakeVenue, instrument, pair_of

BOOK = frozenset({"book"})
LEVELS = {"b": {"9": "1"}, "a": {"11": "1"}}


class Server:
    """Acknowledges everything, and sends what a test puts into `send_all`."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.open: set[ServerConnection] = set()

    async def serve(self, websocket: ServerConnection) -> None:
        self.open.add(websocket)
        try:
            async for text in websocket:
                self.heard.append(text)
                if text.startswith("{"):
                    request = json.loads(text)
                    await websocket.send(json.dumps({"t": "ack", "id": request["id"], "on": "sub" in request}))
        finally:
            self.open.discard(websocket)

    async def send_all(self, **message) -> None:
        for websocket in list(self.open):
            await websocket.send(json.dumps(message))


class FakeRest:
    def __init__(self) -> None:
        self.answer: bytes | Failure = json.dumps({"u": 100, **LEVELS}).encode()
        self.asked: list = []

    async def ask(self, base_url, request, budget, *, priority=0, forbidden_ban_ms=None):
        self.asked.append((base_url, request.path, budget, priority))
        return self.answer


class FreeBudget:
    async def take(self, name: str, cost: float) -> None: ...

    async def ban(self, name: str, ms: int) -> None: ...


class Notes:
    def __init__(self) -> None:
        self.events: list = []
        self.refused: list = []
        self.samples: list = []
        self.endings: list = []
        self.faults: list = []
        self.owner = LinkOwner(
            lambda pair, event: self.events.append(event),
            lambda link, pair, reason: self.refused.append((pair, reason)),
            lambda link, frame, reason: self.samples.append(frame),
            lambda link, reason: self.endings.append(reason),
            lambda link, pair, reason, tried: self.faults.append((pair, reason, tried)),
        )


@asynccontextmanager
async def linked(venue: FakeVenue | None = None):
    server, notes, rest, gate = Server(), Notes(), FakeRest(), asyncio.Event()
    gate.set()
    async with serve(server.serve, "127.0.0.1", 0, compression=None) as listener:
        port = listener.sockets[0].getsockname()[1]
        instruments = Instruments([instrument("AAA"), instrument("BBB")])
        link = Link(
            Session(venue or FakeVenue(), instruments, "main", random.Random(1)),
            ws_url=f"ws://127.0.0.1:{port}",
            rest_url="http://rest",
            rest=rest,
            budget=FreeBudget(),
            owner=notes.owner,
            gate=gate,
            rng=random.Random(1),
            priority=lambda _: 0,
            first_delay_s=0.02,
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(link.run())
            try:
                yield link, server, notes, rest
            finally:
                task.cancel()


async def test_a_pair_goes_live_by_way_of_rest_and_ends_with_the_link(wait_until):
    async with linked() as (link, server, notes, rest):
        link.add(instrument("AAA"), "full", BOOK)
        await wait_until(lambda: server.open, "connected")
        await wait_until(lambda: notes.events, "the snapshot of a quiet pair")
        assert link.status == "connected"
        assert rest.asked == [("http://rest", "/depth?symbol=AAA", "nowhere:spot:rest", 0)]
    assert [type(event) for event in notes.events] == [Snapshot, Reset]


async def test_the_first_delta_hurries_the_fetch(wait_until):
    async with linked() as (link, server, notes, _):
        link.add(instrument("AAA"), "full", BOOK)
        await wait_until(lambda: server.heard, "subscribed")
        await server.send_all(t="delta", topic="diff:AAA", U=99, u=101, b={"8": "1"}, a={})
        await wait_until(lambda: len(notes.events) == 2, "snapshot and delta", 0.9)


async def test_refusals_samples_and_endings_are_reported_and_pings_answered(wait_until):
    async with linked() as (link, server, notes, _):
        link.add(instrument("AAA"), "full", BOOK)
        await wait_until(lambda: server.heard, "subscribed")
        await server.send_all(t="no", topic="diff:AAA", fatal=True, text="unknown")
        await server.send_all(t="bye")
        await server.send_all(t="ask")
        await server.send_all(nonsense=1)
        await wait_until(lambda: notes.samples, "a sample")
        assert notes.refused == [(pair_of("AAA"), "diff:AAA was refused with 7: unknown")]
        assert notes.endings == ["closing for the night"]
        await wait_until(lambda: "here" in server.heard, "the answer to a text ping")


async def test_a_book_that_another_connection_lends_is_taken_in_place_of_a_fetch(wait_until):
    async with linked() as (link, server, notes, rest):
        lent = Snapshot(
            pair=pair_of("AAA"),
            received_us=1,
            bids={"9": "1"},
            asks={"11": "1"},
            reason=SnapshotReason.FIRST,
            sequence=100,
        )
        link.lend = lambda pair, wall_us: lent if pair == lent.pair else None
        link.add(instrument("AAA"), "full", BOOK)
        link.add(instrument("BBB"), "full", BOOK)
        await wait_until(lambda: server.heard, "subscribed")
        await server.send_all(t="delta", topic="diff:AAA", U=100, u=101, b={"8": "1"}, a={})
        await wait_until(lambda: len(notes.events) >= 2, "snapshot and delta")
        assert [event.sequence for event in notes.events[:2]] == [100, 101]
        await wait_until(lambda: rest.asked, "the fetch of the other")
        assert [path for _, path, _, _ in rest.asked] == ["/depth?symbol=BBB"]


class TicketVenue(FakeVenue):
    """Every socket needs a ticket of its own, which names the path."""

    def ticket_request(self, route: str) -> RestRequest | None:
        return RestRequest(f"/ticket/{route}", 1, "")

    def socket_url(self, base: str, route: str, ticket: bytes | None = None) -> str:
        if not ticket or not ticket.startswith(b"T"):
            raise Undecodable(f"nowhere: expected a ticket, got {ticket!r}")
        return f"{base}/{ticket.decode()}"


async def test_every_socket_gets_a_ticket_of_its_own(wait_until):
    async with linked(TicketVenue()) as (link, server, _, rest):
        rest.answer = b"T1"
        await wait_until(lambda: server.open and link.status == "connected", "connected")
        rest.answer = b"T2"
        paths = [next(iter(server.open)).request.path]
        link.connection.drop("to see the next")
        await wait_until(lambda: server.open and link.reconnects, "connected again")
        paths.append(next(iter(server.open)).request.path)
        assert paths == ["/T1", "/T2"]
        assert [path for _, path, _, _ in rest.asked] == ["/ticket/main"] * 2


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (Failure(FailureKind.SERVER, "HTTP 503"), "no ticket for a socket: server: HTTP 503"),
        (b"<html>", "no ticket for a socket: nowhere: expected a ticket"),
    ],
)
async def test_without_a_ticket_the_reason_is_shown_and_it_is_tried_again(wait_until, answer, text):
    async with linked(TicketVenue()) as (link, server, _, rest):
        rest.answer = answer
        await wait_until(lambda: link.status.startswith(text), "the reason")
        assert not server.open
        rest.answer = b"T1"
        await wait_until(lambda: server.open, "connected")


async def test_a_failed_fetch_is_seen_in_the_pairs_reason(wait_until):
    async with linked() as (link, _, _, rest):
        rest.answer = Failure(FailureKind.SERVER, "HTTP 503")
        link.add(instrument("AAA"), "full", BOOK)
        feed = link.session.feeds[pair_of("AAA")]
        await wait_until(lambda: feed.reason == "no snapshot: server: HTTP 503", "the reason")
        rest.answer = json.dumps({"u": 100, **LEVELS}).encode()
        await wait_until(lambda: feed.live, "live")


async def test_a_fault_that_is_no_pairs_restarts_this_link_and_resets_its_pairs(wait_until, monkeypatch):
    monkeypatch.setattr("feeds.link.backoff.delays", lambda *_: iter([0.02] * 100))
    async with linked() as (link, server, notes, _):
        link.add(instrument("AAA"), "50", BOOK)
        await wait_until(lambda: server.heard, "subscribed")
        await server.send_all(t="snapshot", topic="linked:AAA", u=1, **LEVELS)
        await wait_until(lambda: len(notes.events) == 1, "live")
        await wait_until(lambda: link.session.settled, "acknowledged")
        server.heard.clear()
        with monkeypatch.context() as broken:
            broken.setattr(link.session, "_answer", lambda *_: 1 // 0)
            await server.send_all(t="pong")
            await wait_until(lambda: isinstance(notes.events[-1], Reset), "a Reset")
        assert link.faults == 1
        assert "our own fault: ZeroDivisionError" in link.status
        await wait_until(lambda: server.heard, "subscribed again")
        await server.send_all(t="snapshot", topic="linked:AAA", u=2, **LEVELS)
        await wait_until(lambda: len(notes.events) == 3, "live again")


async def test_no_task_is_left_when_a_link_is_cancelled(wait_until):
    async with linked() as (link, _, notes, _):
        link.add(instrument("AAA"), "full", BOOK)
        await wait_until(lambda: notes.events, "live")
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert not {name for name in names if name.startswith(("tick", "fetch", "send to"))}
