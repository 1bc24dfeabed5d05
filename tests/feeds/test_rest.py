"""GET within limits, against a small real server."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

import pytest

from feeds.outputs import Failure, FailureKind
from feeds.rest import Rest, _Line
from feeds.venue import RestRequest
from fleet.errors import Unreachable


class Server:
    """Answers every request with `answer` (raw bytes; None: never), and counts."""

    def __init__(self) -> None:
        self.answer: bytes | None = response(200, b"{}")
        self.paths: list[str] = []
        self.posted: list[tuple[bytes, bytes]] = []  # head and body
        self.open = 0
        self.most_open = 0
        self.hold = asyncio.Event()
        self.hold.set()
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.paths.append(head.split(b" ")[1].decode())
                if head.startswith(b"POST"):
                    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0])
                    self.posted.append((head, await reader.readexactly(length)))
                self.open += 1
                self.most_open = max(self.most_open, self.open)
                await self.hold.wait()
                self.open -= 1
                if self.answer is None:
                    await asyncio.Event().wait()
                writer.write(self.answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


def response(status: int, body: bytes, *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class Budget:
    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self.order: list[float] = []
        self.bans: list[tuple[str, int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None

    async def take(self, name: str, cost: float) -> None:
        if self.error:
            raise self.error
        await self.open.wait()
        self.spent[name] += cost
        self.order.append(cost)

    async def ban(self, name: str, ms: int) -> None:
        self.bans.append((name, ms))


@asynccontextmanager
async def serving(**options):
    server, budget = Server(), Budget()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    try:
        async with Rest(budget, **options) as rest:
            yield rest, server, budget, f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        for writer in server.writers:
            writer.transport.abort()
        await listener.wait_closed()


async def test_a_body_comes_back_and_its_weight_is_spent():
    async with serving() as (rest, server, budget, url):
        server.answer = response(200, b'{"a":1}')
        assert await rest.ask(url, RestRequest("/depth?symbol=AAA", 50), "v:spot:rest") == b'{"a":1}'
        assert server.paths == ["/depth?symbol=AAA"]
        assert budget.spent == {"v:spot:rest": 50}


async def test_where_forbidden_means_too_many_requests_everybody_waits():
    async with serving() as (rest, server, budget, url):
        server.answer = response(403, b"access too frequent")
        answer = await rest.ask(url, RestRequest("/x", 1), "v:spot:rest", forbidden_ban_ms=600_000)
        assert (answer.kind, answer.retry_after_ms) == (FailureKind.LIMITED, 600_000)
        assert budget.bans == [("v:spot:rest", 600_000)]
        assert (await rest.ask(url, RestRequest("/x", 1), "v:spot:rest")).kind is FailureKind.REFUSED


async def test_a_request_with_a_body_is_a_post_of_json():
    async with serving() as (rest, server, budget, url):
        server.answer = response(200, b"[]")
        assert await rest.ask(url, RestRequest("/info", 20, '{"type":"meta"}'), "v:spot:rest") == b"[]"
        ((head, body),) = server.posted
        assert body == b'{"type":"meta"}'
        assert b"content-type: application/json" in head.lower()
        assert budget.spent == {"v:spot:rest": 20}
        server.answer = response(503, b"busy")
        failure = await rest.ask(url, RestRequest("/info", 20, "{}"), "v:spot:rest")
        assert failure.text.startswith("POST http://127.0.0.1")


@pytest.mark.parametrize(
    "status, headers, ban_ms",
    [
        (429, ["Retry-After: 7"], 7_000),
        (429, ["gw-ratelimit-reset: 24617"], 24_617),
        (418, ["Retry-After: 120"], 120_000),
        (429, [], 10_000),
        (418, [], 120_000),
    ],
)
async def test_a_limit_bans_everybody_for_the_time_the_venue_names(status, headers, ban_ms):
    async with serving() as (rest, server, budget, url):
        server.answer = response(status, b"too fast", *headers)
        answer = await rest.ask(url, RestRequest("/x", 1), "v:spot:rest")
        assert isinstance(answer, Failure)
        assert (answer.kind, answer.retry_after_ms) == (FailureKind.LIMITED, ban_ms)
        assert budget.bans == [("v:spot:rest", ban_ms)]
        assert f"HTTP {status}: too fast" in answer.text


@pytest.mark.parametrize(
    "answer, kind",
    [
        (response(503, b"down"), FailureKind.SERVER),
        (response(404, b"no"), FailureKind.REFUSED),
        (response(302, b"", "Location: http://127.0.0.1:1/"), FailureKind.REFUSED),
        (response(200, b"x" * 5000), FailureKind.TOO_LARGE),
        (b"this is not HTTP\r\n\r\n", FailureKind.NETWORK),
        (response(200, b"x" * 100)[:-50], FailureKind.TIMEOUT),
        (None, FailureKind.TIMEOUT),
    ],
)
async def test_whatever_goes_wrong_is_a_failure_with_its_kind(answer, kind):
    async with serving(timeout_s=0.3, max_body=1000) as (rest, server, budget, url):
        server.answer = answer
        failure = await rest.ask(url, RestRequest("/x", 1), "b")
        assert isinstance(failure, Failure)
        assert failure.kind is kind
        assert budget.bans == []


async def test_nobody_there_is_a_failure():
    async with serving() as (rest, _, _, _):
        failure = await rest.ask("http://127.0.0.1:1", RestRequest("/x", 1), "b")
        assert failure.kind is FailureKind.NETWORK


async def test_a_budget_that_cannot_be_asked_is_a_failure_and_nothing_is_sent():
    async with serving() as (rest, server, budget, url):
        budget.error = Unreachable("redis does not answer")
        failure = await rest.ask(url, RestRequest("/x", 1), "b")
        assert "redis does not answer" in failure.text
        assert server.paths == []


async def test_traded_pairs_go_first_and_equals_in_order_of_arrival(wait_until):
    async with serving() as (rest, _, budget, url):
        budget.open.clear()
        async with asyncio.TaskGroup() as group:
            for cost, priority in ((1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1), (7, 0)):
                group.create_task(rest.ask(url, RestRequest("/x", cost), "b", priority=priority))
            for _ in range(10):
                await asyncio.sleep(0)
            budget.open.set()
        assert sorted(budget.order) == [1, 2, 3, 4, 5, 6, 7]
        assert budget.order.index(7) == 4, "before all that were not yet inside"
        assert [cost for cost in budget.order if cost != 7] == [1, 2, 3, 4, 5, 6]


async def test_a_venue_is_asked_a_few_things_at_a_time(wait_until):
    async with serving() as (rest, server, _, url):
        server.hold.clear()
        async with asyncio.TaskGroup() as group:
            for _ in range(12):
                group.create_task(rest.ask(url, RestRequest("/x", 1), "b"))
            await wait_until(lambda: server.open == 4, "four requests")
            server.hold.set()
        assert server.most_open == 4
        assert len(server.paths) == 12


async def test_cancelled_requests_give_their_places_back(wait_until):
    async with serving() as (rest, server, _, url):
        server.hold.clear()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(rest.ask(url, RestRequest("/x", 1), "b")) for _ in range(9)]
            await wait_until(lambda: server.open == 4, "four requests")
            for task in tasks:
                task.cancel()
        server.hold.set()
        for _ in range(6):
            assert await rest.ask(url, RestRequest("/x", 1), "b") == b"{}"


async def test_a_place_given_to_one_who_is_just_being_cancelled_is_passed_on():
    line, inside, leave = _Line(1), [], asyncio.Event()

    async def use(name: str) -> None:
        async with line.turn(0):
            inside.append(name)
            await leave.wait()

    async with asyncio.TaskGroup() as group:
        first = group.create_task(use("first"))
        await asyncio.sleep(0)
        second = group.create_task(use("second"))
        third = group.create_task(use("third"))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)  # the first has left and passed its place to the second, who has not run yet
        second.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert inside == ["first", "third"]
        leave.set()
    assert third.done()


async def test_while_nobody_answers_one_asks_for_all_and_the_rest_spend_nothing(wait_until, monkeypatch):
    monkeypatch.setattr("feeds.outage.PROBE_MOST_MS", 300.0)
    async with serving() as (rest, server, budget, url):
        server.answer = response(503, b"maintenance")
        for n in range(3):
            assert (await rest.ask(url, RestRequest(f"/{n}", 1), "v:spot:rest")).kind is FailureKind.SERVER
        assert (await rest.ask(url, RestRequest("/other", 1), "w:spot:rest")).kind is FailureKind.SERVER
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(rest.ask(url, RestRequest(f"/late{n}", 1), "v:spot:rest")) for n in range(30)]
            await wait_until(lambda: sum(task.done() for task in asked) == 2, "two probes, answered")
            assert budget.spent["v:spot:rest"] <= 6
            server.hold.clear()
            server.answer = response(200, b"{}")
            await wait_until(lambda: server.open, "a third probe")
            assert server.open == 1
            server.hold.set()
        assert sum(task.result() == b"{}" for task in asked) == 28


async def test_a_probe_that_is_broken_off_holds_up_nobody(wait_until):
    async with serving() as (rest, server, _, url):
        server.answer = response(503, b"maintenance")
        for n in range(3):
            await rest.ask(url, RestRequest(f"/{n}", 1), "v:spot:rest")
        server.hold.clear()
        probe = asyncio.get_running_loop().create_task(rest.ask(url, RestRequest("/probe", 1), "v:spot:rest"))
        await wait_until(lambda: server.open, "the probe under way")
        probe.cancel()
        server.hold.set()
        server.answer = response(200, b"{}")
        assert await rest.ask(url, RestRequest("/next", 1), "v:spot:rest") == b"{}"


async def test_one_address_that_fails_again_and_again_is_no_outage():
    async with serving() as (rest, server, budget, url):
        server.answer = response(500, b"this symbol, always")
        for _ in range(10):
            assert (await rest.ask(url, RestRequest("/depth?symbol=SICK", 1), "v:spot:rest")).kind is FailureKind.SERVER
        assert rest._outages["v:spot:rest"].probes == 0
        assert budget.spent == {"v:spot:rest": 10}
