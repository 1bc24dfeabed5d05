"""The bench's load: the same work every time, in the venue's own form."""

import asyncio
import json
import sys

import httpx
import pytest
from websockets.asyncio.client import connect

from ops.bench import load
from ops.bench.load import IDS_A_MESSAGE, Load, symbols, workload
from tests.support.commands import REPOSITORY

PAIRS, MESSAGES = 3, 20


def payload(frame: bytes) -> bytes:
    """The content of an unmasked server frame shorter than 64 KiB (RFC 6455 §5.2)."""
    assert frame[0] == 0x81
    return frame[4:] if frame[1] == 126 else frame[2:]


@pytest.fixture
def messages() -> list[dict]:
    return [json.loads(payload(frame)) for frame in workload(PAIRS, MESSAGES)]


def test_every_run_gets_the_same_bytes() -> None:
    assert workload(PAIRS, MESSAGES) == workload(PAIRS, MESSAGES)


def test_every_pair_gets_its_messages_in_turn_without_a_gap(messages: list[dict]) -> None:
    assert len(messages) == PAIRS * MESSAGES
    for number, base in enumerate(symbols(PAIRS)):
        mine = messages[number::PAIRS]
        assert {message["stream"] for message in mine} == {f"{base.lower()}usdt@depth@100ms"}
        first, last = [one["data"]["U"] for one in mine], [one["data"]["u"] for one in mine]
        assert first == [1, *[u + 1 for u in last[:-1]]]
        assert last[-1] == MESSAGES * IDS_A_MESSAGE


def test_a_later_part_goes_on_where_the_first_ended() -> None:
    first, later = workload(1, 2), workload(1, 3, first=2)
    ids = [(one["data"]["U"], one["data"]["u"]) for one in map(json.loads, map(payload, [*first, *later]))]
    assert [begin for begin, _ in ids] == [1, *[end + 1 for _, end in ids[:-1]]]


def test_a_message_has_the_size_that_the_bench_states(messages: list[dict]) -> None:
    sizes = [len(one["data"]["b"]) + len(one["data"]["a"]) for one in messages]
    assert 15 < sum(sizes) / len(sizes) < 35  # level changes
    bytes_ = [len(frame) for frame in workload(PAIRS, MESSAGES)]
    assert 400 < sum(bytes_) / len(bytes_) < 900


def test_bids_stay_below_asks_and_the_last_message_is_marked(messages: list[dict]) -> None:
    for message in messages:
        assert all(float(price) < 60_000 for price, _ in message["data"]["b"])
        assert all(float(price) > 60_000 for price, _ in message["data"]["a"])
    for number in range(PAIRS):
        *others, last = messages[number::PAIRS]
        assert ["1.00", "9.00000"] in last["data"]["b"]
        assert not any(["1.00", "9.00000"] in one["data"]["b"] for one in others)


async def test_a_client_that_subscribes_gets_metadata_snapshot_and_all_messages(monkeypatch) -> None:
    monkeypatch.setattr(load, "START_DELAY_S", 0.1)
    monkeypatch.setattr(load, "REST_S", 0.1)
    server = await Load(PAIRS, MESSAGES, 5).serve(0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            info = (await http.get("/api/v3/exchangeInfo")).json()
            assert [row["baseAsset"] for row in info["symbols"]] == symbols(PAIRS)
            assert (await http.get("/api/v3/depth", params={"symbol": "A000USDT"})).json()["lastUpdateId"] == 0
        async with connect(f"ws://127.0.0.1:{port}/stream", compression=None) as socket:
            await socket.send(json.dumps({"method": "SUBSCRIBE", "params": [], "id": 5}))
            assert json.loads(await socket.recv()) == {"result": None, "id": 5}
            got = [json.loads(await socket.recv()) for _ in range(PAIRS * (MESSAGES + 5))]
        frames = workload(PAIRS, MESSAGES) + workload(PAIRS, 5, first=MESSAGES)
        assert got == [json.loads(payload(frame)) for frame in frames]
    finally:
        server.close()
        await server.wait_closed()


async def test_its_process_says_when_it_is_ready(free_port) -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ops.bench.load", str(port), "1", "1", cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 30) == b"ready\n"
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()
    finally:
        process.kill()
        await process.wait()
