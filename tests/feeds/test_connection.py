"""A websocket that is opened again for ever, against a small real server."""

import asyncio
import http
import itertools
import random
import ssl
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus, InvalidURI
from websockets.http11 import Response

from feeds import connection as module
from feeds.connection import Connection, Down, is_fatal, retry_after_ms


class Owner:
    """Notes what a connection says; `good` is the answer to `down`."""

    def __init__(self) -> None:
        self.opens = 0
        self.frames: list[bytes] = []
        self.downs: list[Down] = []
        self.good = True
        self.on_open = lambda: None

    def opened(self) -> None:
        self.opens += 1
        self.on_open()

    def received(self, frame: bytes) -> None:
        self.frames.append(frame)

    def down(self, down: Down) -> bool:
        self.downs.append(down)
        return self.good


class Place:
    """A venue of a few lines: what it heard, and its open connections."""

    def __init__(self) -> None:
        self.heard: list = []
        self.open: list[ServerConnection] = []
        self.greeting: list[bytes | str] = []

    async def serve(self, websocket: ServerConnection) -> None:
        self.open.append(websocket)
        for message in self.greeting:
            await websocket.send(message)
        async for message in websocket:
            self.heard.append(message)


@asynccontextmanager
async def connected(place: Place | None = None, **server_options):
    place, owner, gate = place or Place(), Owner(), asyncio.Event()
    gate.set()
    admitted = []

    async def admit() -> None:
        admitted.append(1)

    async with serve(place.serve, "127.0.0.1", 0, compression=None, **server_options) as server:
        port = server.sockets[0].getsockname()[1]
        connection = Connection(
            f"ws://127.0.0.1:{port}/stream",
            owner,
            gate=gate,
            admit=admit,
            rng=random.Random(1),
            first_delay_s=0.02,
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(connection.run())
            try:
                yield connection, owner, place, gate
            finally:
                task.cancel()
    assert len(admitted) == connection.attempts, "every attempt is admitted first"


async def test_frames_arrive_as_bytes_and_texts_are_sent_in_order(wait_until):
    place = Place()
    place.greeting = ["text", b"binary"]
    async with connected(place) as (connection, owner, _, _):
        owner.on_open = lambda: [connection.send(str(number)) for number in range(5)]
        await wait_until(lambda: owner.frames == [b"text", b"binary"], "both frames")
        await wait_until(lambda: place.heard == list("01234"), "five texts")


async def test_a_closed_connection_is_opened_again_and_the_reason_is_told(wait_until):
    async with connected() as (_, owner, place, _):
        await wait_until(lambda: place.open, "open")
        await place.open[0].close(1008, "too many requests")
        await wait_until(lambda: owner.opens == 2, "open again")
        assert len(owner.downs) == 1
        assert "1008" in owner.downs[0].reason
        assert "too many requests" in owner.downs[0].reason


async def test_a_cut_connection_is_opened_again(wait_until):
    async with connected() as (_, owner, place, _):
        await wait_until(lambda: place.open, "open")
        place.open[0].transport.abort()
        await wait_until(lambda: owner.opens == 2, "open again")


async def test_a_dropped_connection_says_who_dropped_it(wait_until):
    async with connected() as (connection, owner, _, _):
        await wait_until(lambda: owner.opens == 1, "open")
        connection.drop("nothing heard for 20 s")
        await wait_until(lambda: owner.opens == 2, "open again")
        assert owner.downs == [Down("nothing heard for 20 s")]


async def test_what_was_queued_for_a_lost_socket_is_not_sent_on_the_next(wait_until):
    async with connected() as (connection, owner, place, _):
        await wait_until(lambda: owner.opens == 1, "open")
        connection.send("unsent")
        connection.send("unsent too")
        connection.drop("test")
        await wait_until(lambda: owner.downs, "down")
        connection.send("late")
        await wait_until(lambda: owner.opens == 2, "open again")
        connection.send("new")
        await wait_until(lambda: place.heard, "a text")
        assert place.heard == ["new"]


async def test_control_frames_count_as_heard(wait_until):
    async with connected() as (connection, owner, place, _):
        await wait_until(lambda: place.open, "open")
        connection.take_heard()
        assert not connection.take_heard()
        await place.open[0].ping()
        await wait_until(connection.take_heard, "the server's ping")
        connection.ping()
        await wait_until(connection.take_heard, "the pong to ours")
        assert owner.frames == []


async def test_while_held_back_nothing_is_read_and_memory_stays_bounded(wait_until):
    async with connected() as (_, owner, place, gate):
        await wait_until(lambda: place.open, "open")
        gate.clear()
        await place.open[0].send("one that came while nothing is taken")
        flood = asyncio.ensure_future(flood_of(place.open[0]))
        await wait_until(lambda: place.open[0].transport.get_write_buffer_size() > 0, "the venue has to wait")
        assert owner.frames == []
        gate.set()
        await flood
        await wait_until(lambda: len(owner.frames) == 1 + 400, "everything")


async def test_a_message_in_fragments_arrives_as_one(wait_until):
    async with connected() as (_, owner, place, _):
        await wait_until(lambda: place.open, "open")
        await place.open[0].send(["in ", "three ", "parts"])
        await place.open[0].send("whole")
        await wait_until(lambda: len(owner.frames) == 2, "both")
        assert owner.frames == [b"in three parts", b"whole"]


async def test_a_burst_does_not_keep_the_rest_of_the_daemon_waiting(wait_until):
    async with connected() as (_, owner, place, _):
        await wait_until(lambda: place.open, "open")
        turns: list[int] = []
        loop = asyncio.get_running_loop()

        def turn() -> None:
            turns.append(len(owner.frames))
            if len(owner.frames) < 401:
                loop.call_soon(turn)

        flood = asyncio.ensure_future(flood_of(place.open[0]))
        loop.call_soon(turn)
        await flood
        await place.open[0].send("the end")
        await wait_until(lambda: len(owner.frames) == 401, "everything")
        assert max(after - before for before, after in itertools.pairwise(turns)) < 50


async def flood_of(websocket: ServerConnection) -> None:
    for _ in range(400):
        await websocket.send(b"x" * 100_000)


async def test_a_frame_beyond_all_measure_costs_the_connection_only(wait_until, monkeypatch):
    monkeypatch.setattr(module, "MAX_FRAME", 1000)
    place = Place()
    place.greeting = [b"x" * 2000]
    async with connected(place) as (_, owner, _, _):
        await wait_until(lambda: owner.opens == 2, "open again")
        assert "1009" in owner.downs[0].reason
        assert owner.frames == []


async def test_a_venue_that_takes_nothing_is_given_up(wait_until, monkeypatch):
    monkeypatch.setattr(module, "MAX_UNSENT", 3)
    async with connected() as (connection, owner, _, _):
        await wait_until(lambda: owner.opens == 1, "open")
        for _ in range(5):
            connection.send("x")
        await wait_until(lambda: owner.downs, "down")
        assert owner.downs[0].reason == "3 frames could not be sent"


async def test_nobody_there_is_tried_again_with_growing_delays(wait_until):
    owner, gate = Owner(), asyncio.Event()
    owner.good = False
    times = []

    async def admit() -> None:
        times.append(asyncio.get_running_loop().time())

    connection = Connection(
        "ws://127.0.0.1:1/", owner, gate=gate, admit=admit, rng=random.Random(1), first_delay_s=0.02
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(connection.run())
        await wait_until(lambda: len(times) == 5, "five attempts")
        task.cancel()
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert pauses[3] >= 0.08 > pauses[0]
    assert all(down.reason.startswith("cannot connect") for down in owner.downs)


async def test_a_refusal_with_retry_after_is_waited_for(wait_until):
    answers = []

    def refuse(websocket: ServerConnection, request):
        answers.append(asyncio.get_running_loop().time())
        response = websocket.respond(http.HTTPStatus.TOO_MANY_REQUESTS, "slow down")
        response.headers["Retry-After"] = "1"
        return response if len(answers) == 1 else None

    async with connected(process_request=refuse) as (_, owner, _, _):
        await wait_until(lambda: owner.opens == 1, "open")
        assert owner.downs[0].retry_after_ms == 1000
        assert not owner.downs[0].fatal
        assert answers[1] - answers[0] >= 1.0


async def test_a_fatal_refusal_is_told_as_such():
    def refuse(websocket: ServerConnection, request):
        return websocket.respond(http.HTTPStatus.NOT_FOUND, "no such path")

    async with connected(process_request=refuse) as (_, owner, _, _):
        while not owner.downs:
            await asyncio.sleep(0)
        assert owner.downs[0].fatal
        assert "404" in owner.downs[0].reason


async def test_cancelling_leaves_no_socket_and_no_task(wait_until):
    async with connected() as (_, _, place, _):
        await wait_until(lambda: place.open, "open")
        server_side = place.open[0]
    assert server_side.state.name in ("CLOSED", "CLOSING")
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("send to")] == []


def status(code: int, **headers: str) -> InvalidStatus:
    return InvalidStatus(Response(code, "", Headers({name.replace("_", "-"): v for name, v in headers.items()}), b""))


@pytest.mark.parametrize(
    "error, fatal",
    [
        (status(404), True),
        (status(401), True),
        (status(429), False),
        (status(418), False),
        (status(503), False),
        (InvalidURI("nowhere", "no scheme"), True),
        (ssl.SSLCertVerificationError("expired"), True),
        (ConnectionRefusedError(), False),
        (TimeoutError(), False),
    ],
)
def test_what_is_fatal(error, fatal):
    assert is_fatal(error) is fatal


@pytest.mark.parametrize(
    "error, expected_ms",
    [
        (status(429, Retry_After="30"), 30_000),
        (status(429), None),
        (status(429, Retry_After="soon"), None),
        (OSError(), None),
    ],
)
def test_retry_after(error, expected_ms):
    assert retry_after_ms(error) == expected_ms
