"""Which venues a daemon reaches: tables of what its connections and knocks say."""

import asyncio
import contextlib

from feeds.hearing import KNOCK_EVERY_MS, REACHED_MS, TOLD_MS, Ears
from feeds.scout import Scout

G, OTHER = "binance:spot", "okx:futures"


def ears(*groups: str) -> Ears:
    made = Ears()
    made.want(groups or (G,))
    return made


def test_a_reconnect_is_no_deafness_and_a_long_one_is():
    found = ears()
    found.connected({G: False}, 1_000.0)
    found.connected({G: False}, 1_000.0 + TOLD_MS - 1)
    assert found.deaf(1_000.0 + TOLD_MS - 1) == {}
    assert found.deaf(1_000.0 + TOLD_MS) == {G: TOLD_MS}
    found.connected({G: True}, 9_000.0)
    assert found.deaf(9_000.0) == {}


def test_it_is_counted_from_when_the_last_connection_was_given_up():
    found = ears()
    found.connected({G: True}, 0.0)
    found.connected({G: False}, 20_000.0)
    assert found.deaf(31_000.0) == {G: 11_000}


def test_what_has_not_been_tried_is_neither_heard_nor_deaf():
    found = ears()
    found.connected({G: None}, 0.0)
    assert (found.deaf(60_000.0), found.reached(60_000.0), found.due(60_000.0)) == ({}, (), [])


def test_where_others_are_deaf_and_we_have_no_connection_we_knock_again_and_again():
    found = ears(G, OTHER)
    found.connected({OTHER: True}, 0.0)
    found.ask({G, OTHER, "unwanted:spot"})
    assert found.due(0.0) == [G]
    assert found.due(KNOCK_EVERY_MS - 1) == []
    assert found.due(KNOCK_EVERY_MS) == [G]
    found.knocked(G, 100.0, answered=True)
    assert found.reached(100.0) == (G, OTHER)
    assert found.reached(100.0 + REACHED_MS + 1) == ()


def test_a_knock_that_nobody_answers_is_deafness_too():
    found = ears()
    found.ask({G})
    found.knocked(G, 0.0, answered=False)
    assert found.deaf(TOLD_MS) == {G: TOLD_MS}
    assert found.reached(TOLD_MS) == ()


def test_who_gave_the_pairs_of_a_venue_away_stays_deaf_until_a_knock_is_answered():
    found = ears()
    found.connected({G: False}, 0.0)
    found.connected({G: None}, 20_000.0)
    assert found.deaf(30_000.0) == {G: 30_000}
    assert found.due(30_000.0) == [G]
    found.knocked(G, 31_000.0, answered=True)
    assert found.deaf(31_000.0) == {}
    assert found.due(60_000.0) == []


def test_a_connection_knows_better_than_a_knock():
    found = ears()
    found.ask({G})
    found.connected({G: False}, 0.0)
    found.knocked(G, 10_000.0, answered=True)
    assert found.deaf(10_000.0) == {G: 10_000}


def test_what_nobody_wants_any_more_is_forgotten():
    found = ears()
    found.connected({G: False}, 0.0)
    found.want(())
    found.connected({G: False}, 10_000.0)
    assert (found.deaf(60_000.0), found.due(60_000.0)) == ({}, [])


async def test_a_knock_that_waits_keeps_no_other_waiting(wait_until) -> None:
    found = ears(G, OTHER)
    found.ask({G, OTHER})
    asked: list[str] = []

    async def knock(group: str) -> bool:
        asked.append(group)
        if group == G:
            await asyncio.Event().wait()
        return True

    now = [0.0]
    task = asyncio.create_task(Scout(found, dict, knock, lambda: now[0]).run())
    await wait_until(lambda: found.reached(now[0]) == (OTHER,), "the other venue's answer")
    now[0] = KNOCK_EVERY_MS
    await wait_until(lambda: asked.count(OTHER) == 2, "the next knock at the other venue")
    assert asked.count(G) == 1
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
