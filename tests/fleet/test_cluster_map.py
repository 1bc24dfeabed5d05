"""fleet/cluster_map.py and fleet/cluster_commands.py: slots, owners, keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from fleet.cluster_commands import first_key, split_read
from fleet.cluster_map import parse_slots, slot_of
from fleet.keys import Keys
from fleet.pair import Pair
from fleet.redis_url import HostPort

ASKED = HostPort("10.0.0.1", 7000)


@given(st.binary() | st.text(alphabet="ab{}:").map(str.encode))
def test_a_slot_is_the_one_redis_computes(key: bytes) -> None:
    assert slot_of(key) == key_slot(key)


def test_every_key_of_a_pair_and_its_shard_is_in_one_slot() -> None:
    keys, pair = Keys("ns", 64), Pair("okx", "spot", "BTC/USDT")
    shard = keys.shard(pair)
    named = [
        *(keys.book(pair), keys.bids(pair), keys.asks(pair), keys.lease(pair), keys.offer(pair)),
        *(keys.tail(shard), keys.deltas(shard), keys.trades(shard)),
    ]
    assert len({slot_of(key) for key in named}) == 1
    fleet = [
        keys.layout(),
        keys.leader(),
        keys.term(),
        keys.members(),
        keys.member("m"),
        keys.lanes(),
        keys.lane_lease(1),
    ]
    assert len({slot_of(key) for key in fleet}) == 1


def test_sixty_four_shards_share_three_nodes_evenly() -> None:
    third = -(-16384 // 3)
    counts = [0, 0, 0]
    for shard in range(64):
        counts[slot_of(Keys(shards=64).tail(shard)) // third] += 1
    assert min(counts) >= 20


def test_cluster_slots_become_a_map() -> None:
    answer = [
        [0, 99, [b"10.0.0.2", 7001, b"id"], [b"10.0.0.3", 7002, b"id2"]],
        [100, 16000, [b"", 7000, b"me"]],
    ]
    found = parse_slots(answer, ASKED)
    assert found.owner(99) == HostPort("10.0.0.2", 7001)
    assert found.owner(100) == ASKED  # a node that does not know its own name
    assert found.owner(16001) is None
    assert found.uncovered == 383
    assert found.primaries == (ASKED, HostPort("10.0.0.2", 7001))
    assert found.replicas == (HostPort("10.0.0.3", 7002),)
    with pytest.raises(ValueError, match="no answer of CLUSTER SLOTS"):
        parse_slots([[0, 1]], ASKED)


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (("GET", "k"), "k"),
        (("TIME",), None),
        (("SCRIPT LOAD", "text"), None),
        (("CONFIG GET", "maxmemory"), None),
        (("EVALSHA", "sha", 2, "k", "k2", "arg"), "k"),
        (("EVALSHA", "sha", 0), None),
        (("XGROUP CREATE", "k", "g", "0"), "k"),
        (("XGROUP", "CREATE", "k", "g", "0"), "k"),
        (("XINFO GROUPS", "k"), "k"),
        (("XREAD", b"COUNT", b"5", b"STREAMS", "k", "0"), "k"),
        (("XREADGROUP", "GROUP", "streams-of", "me", "STREAMS", "k", ">"), "k"),
    ],
)
def test_the_first_key_of_a_command_is_found(command: tuple[object, ...], key: str | None) -> None:
    assert first_key(command) == key


def test_a_command_about_all_keys_of_a_node_is_refused() -> None:
    with pytest.raises(ValueError, match="ask every node"):
        first_key(("SCAN", 0))


def test_a_read_of_two_slots_becomes_one_a_slot_that_does_not_wait() -> None:
    split = split_read(
        ("XREAD", b"BLOCK", b"250", b"COUNT", b"9", b"STREAMS", "d:{1}", "d:{2}", "t:{1}", "1-0", "2-0", "3-0")
    )
    assert split == (
        [
            ("XREAD", b"COUNT", b"9", b"STREAMS", "d:{1}", "t:{1}", "1-0", "3-0"),
            ("XREAD", b"COUNT", b"9", b"STREAMS", "d:{2}", "2-0"),
        ],
        250,
    )
    assert split_read(("XREAD", b"STREAMS", "d:{1}", "d:{2}", "0", "0")) == (
        [("XREAD", b"STREAMS", "d:{1}", "0"), ("XREAD", b"STREAMS", "d:{2}", "0")], -1,
    )  # fmt: skip
    assert split_read(("XREAD", b"BLOCK", b"250", b"STREAMS", "d:{1}", "t:{1}", "0", "0")) is None
    assert split_read(("GET", "d:{1}")) is None
