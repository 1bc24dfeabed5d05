"""`fleet bench ingest`, small: figures that can be true, in the form that is promised."""

import asyncio
import os

import pytest

from ops.bench import load
from tests.support.commands import assert_one_line, run_fleet

SMALL = ("bench", "ingest", "--messages", "20", "--pairs", "3")


def test_figures_are_printed_with_the_machine() -> None:
    ended = run_fleet(*SMALL, "--json", timeout_s=120)
    assert ended.code == 0, ended
    assert ended.err == ""
    figures = ended.json
    assert figures["name"] == "ingest"
    assert (figures["pairs"], figures["messages"]) == (3, 60)
    for key in ("messages_per_s", "cpu_us_per_message", "p50_ms", "p99_ms", "messages_per_call"):
        assert figures[key] > 0, key
    assert figures["p50_ms"] <= figures["p99_ms"]
    assert figures["conflations"] == 0
    assert figures["latency_at"].endswith("messages/s")
    assert f"{os.cpu_count()} cores" in figures["machine"]


async def test_a_redis_and_a_load_that_are_given_are_used_and_left_as_they_were(
    redis, redis_url: str, monkeypatch
) -> None:
    monkeypatch.setattr(load, "START_DELAY_S", 1.0)
    await redis.set("somebody", "else", ex=600)
    server = await load.Load(3, 20).serve(0)
    try:
        given = ("--redis", redis_url, "--load-port", str(server.sockets[0].getsockname()[1]))
        ended = await asyncio.to_thread(run_fleet, *SMALL, *given, timeout_s=120)
    finally:
        server.close()
        await server.wait_closed()
    assert ended.code == 0, ended
    lines = dict(line.split(maxsplit=1) for line in ended.out.splitlines())
    assert lines["messages"] == "60"
    assert lines["latency_at"] == "flat out"
    assert await redis.keys() == [b"somebody"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [(["nothing"], 2, ["'nothing'", "ingest"]), (["ingest", "--redis", "redis://127.0.0.1:1"], 4, ["127.0.0.1:1"])],
    ids=["no such bench", "no such Redis"],
)
def test_what_cannot_be_measured_is_one_line(arguments: list[str], code: int, words: list[str]) -> None:
    assert_one_line(run_fleet("bench", *arguments), code, *words)
