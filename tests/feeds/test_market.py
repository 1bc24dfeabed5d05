"""One venue × market: which pair is on which connection, and what is said of it."""

import asyncio
import json
import random
from contextlib import asynccontextmanager

import msgspec
from websockets.asyncio.server import ServerConnection, serve

from books.events import Reset, Snapshot
from feeds import market as module
from feeds.market import Market, Wanted
from feeds.outputs import Failure, FailureKind
from feeds.venue import Instruments, InstrumentStatus
from tests.support.fake_venue import FakeVenue, pair_of

BOOK = frozenset({"book"})
ALL = frozenset({"book", "bbo", "trades"})


class Server:
    """Acknowledges what is asked; a subscribed linked book gets its snapshot, unless `mute`."""

    def __init__(self) -> None:
        self.open: dict[ServerConnection, str] = {}
        self.mute = False
        self.never = ""  # a topic that is refused for good

    async def serve(self, websocket: ServerConnection) -> None:
        self.open[websocket] = websocket.request.path
        try:
            async for text in websocket:
                if text.startswith("{"):
                    await self.answer(websocket, json.loads(text))
        finally:
            del self.open[websocket]

    async def answer(self, websocket: ServerConnection, request: dict) -> None:
        for topic in request.get("sub", []):
            if topic == self.never:
                await websocket.send(json.dumps({"t": "no", "topic": topic, "fatal": True, "text": "gone"}))
            elif topic.startswith("linked") and not self.mute:
                levels = {"b": {"9": "1"}, "a": {"11": "1"}}
                await websocket.send(json.dumps({"t": "snapshot", "topic": topic, "u": 100, **levels}))
        await websocket.send(json.dumps({"t": "ack", "id": request["id"]}))

    async def say(self, path: str, **message) -> None:
        for websocket, at in list(self.open.items()):
            if at == path:
                await websocket.send(json.dumps(message))

    def paths(self) -> list[str]:
        return sorted(self.open.values())


class FakeRest:
    """Lists the instruments."""

    def __init__(self) -> None:
        self.symbols: list[str] = ["AAA", "BBB", "CCC", "DDD", "EEE"]
        self.failure: Failure | None = None
        self.asked = 0

    async def ask(self, base_url, request, budget, *, priority=0, forbidden_ban_ms=None):
        self.asked += 1
        return self.failure or json.dumps(self.symbols).encode()


class FreeBudget:
    async def take(self, name: str, cost: float) -> None: ...

    async def ban(self, name: str, ms: int) -> None: ...


class Run:
    market: Market

    def __init__(self, server: Server, rest: FakeRest) -> None:
        self.server, self.rest = server, rest
        self.events: list = []
        self.refused: dict = {}

    def state(self, symbol: str):
        return next(state for state in self.market.states() if state.pair == pair_of(symbol))

    def live(self, *symbols: str) -> bool:
        return all((feed := self.market.feed(pair_of(symbol))) is not None and feed.live for symbol in symbols)


@asynccontextmanager
async def running(*symbols: str, channels=BOOK, per_connection: int = 40, off: str | None = None, **limits):
    server, rest, gate = Server(), FakeRest(), asyncio.Event()
    gate.set()
    async with serve(server.serve, "127.0.0.1", 0, compression=None) as listener:
        run = Run(server, rest)
        market = run.market = Market(
            FakeVenue(**limits),
            ws_url=f"ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}",
            rest_url="http://rest",
            rest=rest,
            budget=FreeBudget(),
            on_event=lambda pair, event: run.events.append(event),
            on_refused=lambda pair, reason: run.refused.__setitem__(pair, reason),
            on_sample=lambda *_: None,
            gate=gate,
            rng=random.Random(1),
            pairs_per_connection=per_connection,
            off_because=off,
            first_delay_s=0.02,
        )
        for symbol in symbols:
            market.subscribe(pair_of(symbol), Wanted("50", channels, 1))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(market.run())
            try:
                yield run
            finally:
                task.cancel()


async def test_a_pair_whose_topics_are_on_two_routes_has_two_connections_and_one_book(wait_until):
    async with running("AAA", channels=ALL) as run:
        await wait_until(lambda: run.live("AAA") and run.server.paths() == ["/main", "/other"], "two connections")
        await wait_until(lambda: all(link.session.topics for link in run.market.links), "topics on both")
        await run.server.say("/other", t="trade", topic="prints:AAA", id="1")
        await wait_until(lambda: len(run.events) == 2, "a trade")
        run.market.subscribe(pair_of("AAA"), Wanted("50", BOOK, 1))
        await wait_until(lambda: run.server.paths() == ["/main"], "the trades' connection closed")
        assert run.live("AAA")


async def test_the_venues_own_limits_of_a_connection_win(wait_until):
    async with running("AAA", "BBB", "CCC", channels=frozenset({"book", "bbo"}), topics_per_connection=4) as run:
        await wait_until(lambda: run.live("AAA", "BBB", "CCC"), "live")
        assert sorted(len(link.session.pairs) for link in run.market.links) == [1, 2]


async def test_room_that_becomes_free_is_used_again(wait_until):
    async with running("AAA", "BBB", "CCC", per_connection=2) as run:
        await wait_until(lambda: run.live("AAA", "BBB", "CCC"), "live")
        run.market.unsubscribe(pair_of("AAA"))
        run.market.subscribe(pair_of("DDD"), Wanted("50", BOOK, 1))
        await wait_until(lambda: run.live("BBB", "CCC", "DDD"), "live")
        assert len(run.market.links) == 2


async def test_an_unknown_pair_is_refused_and_taken_when_the_venue_lists_it(wait_until):
    async with running("AAA", "ZZZ") as run:
        await wait_until(lambda: run.live("AAA") and pair_of("ZZZ") in run.refused, "refused")
        assert run.state("ZZZ").state == "refused"
        assert "is not among the 5 spot pairs" in run.state("ZZZ").reason
        run.rest.symbols.append("ZZZ")
        run.market.loader.instruments = run.market.venue.parse_instruments([json.dumps(run.rest.symbols).encode()])
        run.market._loaded(run.market.loader.instruments)
        await wait_until(lambda: run.live("ZZZ"), "live")
        assert run.state("ZZZ").state == "live"


async def test_a_topic_refused_by_the_venue_is_visible_and_tried_again_after_a_refresh(wait_until):
    async with running("AAA") as run:
        run.server.never = "linked:AAA"
        await wait_until(lambda: pair_of("AAA") in run.refused, "refused")
        assert run.state("AAA").state == "refused"
        assert run.state("AAA").reason == "linked:AAA was refused with 7: gone"
        run.server.never = ""
        run.market._loaded(run.market.loader.instruments)
        await wait_until(lambda: run.live("AAA"), "live")
        assert (run.state("AAA").state, run.state("AAA").reason) == ("live", "")


async def test_a_refused_side_channel_leaves_the_book_live(wait_until):
    async with running() as run:
        run.server.never = "best:AAA"
        run.market.subscribe(pair_of("AAA"), Wanted("50", frozenset({"book", "bbo"}), 1))
        await wait_until(lambda: run.live("AAA") and pair_of("AAA") in run.refused, "both")
        assert run.state("AAA").state == "live"
        assert "best:AAA was refused" in run.state("AAA").reason


async def test_pairs_wait_for_the_instruments_with_a_visible_reason(wait_until):
    async with running() as run:
        run.market.loader.instruments = None
        run.market.loader.reason = f"could not be loaded: {Failure(FailureKind.TIMEOUT, 'no answer').text}"
        run.market.subscribe(pair_of("AAA"), Wanted("50", BOOK, 1))
        assert (run.state("AAA").state, run.state("AAA").reason) == ("waiting", "could not be loaded: no answer")


async def test_an_announced_end_moves_pairs_to_a_successor_without_a_word(wait_until):
    async with running("AAA", "BBB") as run:
        await wait_until(lambda: run.live("AAA", "BBB"), "live")
        (old,) = run.market.links
        await run.server.say("/main", t="bye")
        await wait_until(lambda: run.market.links and old not in run.market.links, "replaced")
        await wait_until(lambda: len(run.server.open) == 1, "the old connection closed")
        assert run.live("AAA", "BBB")
        assert [type(event) for event in run.events] == [Snapshot, Snapshot]
        await run.server.say("/main", t="delta", topic="linked:AAA", p=100, u=101, b={}, a={"12": "1"})
        await wait_until(lambda: len(run.events) == 3, "the successor's delta")


async def test_a_pair_subscribed_or_left_during_a_handover_is_on_the_right_side_of_it(wait_until):
    async with running("AAA", "BBB") as run:
        await wait_until(lambda: run.live("AAA", "BBB"), "live")
        run.server.mute = True
        (old,) = run.market.links
        await run.server.say("/main", t="bye")
        await wait_until(lambda: len(run.market.links) == 2, "a successor")
        run.market.subscribe(pair_of("CCC"), Wanted("50", BOOK, 1))
        run.market.unsubscribe(pair_of("AAA"))
        (new,) = [link for link in run.market.links if link is not old]
        assert list(old.session.pairs) == [pair_of("BBB")]
        assert set(new.session.pairs) == {pair_of("BBB"), pair_of("CCC")}
        run.market.unsubscribe(pair_of("BBB"))
        await wait_until(lambda: run.market.links == [new], "the old connection closed")


async def test_a_successor_that_brings_nothing_does_not_keep_the_old_connection_for_ever(wait_until, monkeypatch):
    monkeypatch.setattr(module, "HANDOVER_MOST_S", 0.2)
    async with running("AAA") as run:
        await wait_until(lambda: run.live("AAA"), "live")
        run.server.mute = True
        (old,) = run.market.links
        await run.server.say("/main", t="bye")
        await wait_until(lambda: old not in run.market.links and run.market.links, "replaced")
        assert [type(event) for event in run.events] == [Snapshot, Reset]
        run.server.mute = False
        await run.server.say("/main", t="snapshot", topic="linked:AAA", u=200, b={"9": "1"}, a={})
        await wait_until(lambda: run.live("AAA") and len(run.events) == 3, "live on the successor")


async def test_a_market_that_is_off_asks_nobody_and_says_why(wait_until):
    async with running("AAA", off="nowhere is off by default: it closed") as run:
        await wait_until(lambda: run.refused, "refused")
        assert (run.state("AAA").state, run.state("AAA").reason) == ("refused", "nowhere is off by default: it closed")
        assert (run.rest.asked, run.server.paths(), run.market.links) == (0, [], [])


def relisted(run: Run, symbol: str, status: InstrumentStatus) -> None:
    """What a refresh would bring."""
    known = run.market.loader.instruments
    assert known is not None
    run.market.loader.instruments = Instruments(
        [msgspec.structs.replace(one, status=status) if one.symbol == symbol else one for one in known.by_pair.values()]
    )
    run.market._loaded(run.market.loader.instruments)


async def test_a_halted_pair_is_subscribed_and_shown_as_halted(wait_until):
    async with running("AAA") as run:
        await wait_until(lambda: run.live("AAA"), "live")
        relisted(run, "AAA", InstrumentStatus.HALTED)
        assert (run.state("AAA").state, run.state("AAA").reason) == ("live", "halted at the venue")
        relisted(run, "AAA", InstrumentStatus.TRADING)
        assert run.state("AAA").reason == ""


async def test_a_delisted_pair_is_a_state_and_no_subscription(wait_until):
    async with running("AAA") as run:
        await wait_until(lambda: run.live("AAA"), "live")
        relisted(run, "BBB", InstrumentStatus.DELISTED)
        run.market.subscribe(pair_of("BBB"), Wanted("50", BOOK, 1))
        assert run.state("BBB").state == "refused"
        assert run.refused[pair_of("BBB")] == "nowhere has delisted BBB"
        relisted(run, "BBB", InstrumentStatus.TRADING)
        await wait_until(lambda: run.live("BBB"), "live when it is listed again")


async def test_a_pair_that_is_delisted_keeps_its_book_while_it_lives_and_is_left_when_it_does_not(wait_until):
    async with running("AAA") as run:
        await wait_until(lambda: run.live("AAA"), "live")
        relisted(run, "AAA", InstrumentStatus.DELISTED)
        assert (run.state("AAA").state, run.state("AAA").reason) == ("live", "delisted at the venue")
        run.server.mute = True
        await run.server.say("/main", t="delta", topic="linked:AAA", u=120, p=119, b={}, a={})
        await wait_until(lambda: not run.live("AAA"), "a gap")
        relisted(run, "AAA", InstrumentStatus.DELISTED)
        assert run.state("AAA").state == "refused"
        assert run.market.links == []
