"""A fleet's Redis on a real Cluster: both kinds of connection find their nodes, also while slots move and primaries die."""

import asyncio

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from books.reader import Reader
from books.store import load_book
from fleet import cluster_routes, scripts
from fleet.config import Settings
from fleet.errors import ConfigError, ConnectionLost, Unreachable
from fleet.heartbeat import read_members
from fleet.ordered import pack
from fleet.ordered_cluster import OrderedCluster
from fleet.pair import Pair
from fleet.redis_check import check
from fleet.redis_cluster import ClusterClient
from fleet.redis_connection import connect
from fleet.scripts import Beaten, Elected, Granted
from ops.observer import Observer
from tests.support.any_redis import connected
from tests.support.redis_cluster import MovingSlot, RedisCluster
from tests.support.redis_nodes import ask
from tests.support.small_fleet import ASKS, BIDS, SmallFleet, delta, small_fleet
from tests.support.waiting import wait_until

PAIRS = [Pair("somewhere", "spot", f"P{i}/USDT") for i in range(24)]


async def acquired(desk: SmallFleet, pair: Pair, connection: scripts.Connection) -> Granted:
    keys = desk.keys
    answer = await scripts.acquire(
        connection, tail=keys.tail(keys.shard(pair)), lease=keys.lease(pair), offer=keys.offer(pair), holder=desk.members[0],
        ttl_ms=60_000, floor=0, fields=[pair.label],
    )  # fmt: skip
    assert isinstance(answer, Granted)
    return answer


async def test_books_on_all_nodes_are_published_observed_and_followed(cluster: RedisCluster) -> None:
    async with small_fleet(cluster.url, shards=64) as fleet:
        nodes = {cluster.node_of(fleet.keys.tail(fleet.keys.shard(pair))).port for pair in PAIRS}
        assert len(nodes) == 3
        reader = Reader(fleet.client, fleet.keys, PAIRS)
        for pair in PAIRS:
            await fleet.make_live(pair)
        await fleet.beat(fleet.members[0])
        assert await fleet.lead(fleet.members[0]) > 0
        await reader.start()
        for pair in PAIRS:
            await fleet.publish(pair, delta(pair, {"64000": "11"}, {}, 8))

        async def all_read() -> bool:
            await reader.step()
            return all(view.sequence == 8 for view in reader.views.values())

        await wait_until(all_read, "every book at its last event")
        for view in reader.views.values():
            assert (view.book.bids, view.book.asks) == ({**BIDS, "64000": "11"}, ASKS)
        await reader.audit()
        assert {view.status.value for view in reader.views.values()} == {"live"}
        status = await Observer(fleet.client, fleet.keys).observe()
        assert {pair.status for pair in status.pairs} == {"live"}
        assert len(status.pairs) == len(PAIRS)
        assert [member.id for member in await read_members(fleet.client, fleet.keys)] == [fleet.members[0]]


async def test_the_verbs_of_the_whole_fleet_run_where_its_keys_are(cluster: RedisCluster) -> None:
    async with small_fleet(cluster.url, shards=64) as fleet:
        for connection in (fleet.client, fleet._connection):
            beaten = await scripts.beat(
                connection, fleet.keys, member="m:1:a", record="{}", pair_state="{}", ttl_ms=9000
            )
            assert isinstance(beaten, Beaten)
            assert isinstance(await scripts.elect(connection, fleet.keys, member="m:1:a", ttl_ms=9000), Elected)
            bucket = fleet.keys.budget("here", "x")
            assert await scripts.spend(connection, bucket=bucket, capacity=9, refill_per_s=1, cost=1) is None
            for shard in range(64):
                assert (
                    await scripts.trim(connection, stream=fleet.keys.deltas(shard), retain_ms=1, maxlen=9)
                ).removed == 0


async def test_a_read_of_many_nodes_waits_as_long_as_told_and_ends_with_the_first_entry(cluster: RedisCluster) -> None:
    async with connected(cluster.url) as (client, _):
        streams = {f"deltas:{{{shard:02d}}}": "0-0" for shard in range(64)}
        assert not await client.xread(streams, block=20)
        reading = asyncio.create_task(client.xread(streams, block=60_000))
        await client.xadd("deltas:{41}", {"k": "v"})
        [(stream, [(_, fields)])] = await asyncio.wait_for(reading, 10)
        assert (stream, fields) == (b"deltas:{41}", {b"k": b"v"})


async def test_a_pipeline_of_many_nodes_answers_in_order_and_keeps_errors_in_their_places(
    cluster: RedisCluster,
) -> None:
    async with connected(cluster.url) as (client, _):
        pipe = client.pipeline(transaction=False)
        for shard in range(64):
            pipe.set(f"k:{{{shard:02d}}}", shard)
        pipe.time()
        assert (await pipe.execute())[:64] == [True] * 64
        pipe = client.pipeline(transaction=False)
        for shard in range(64):
            pipe.get(f"k:{{{shard:02d}}}")
        pipe.hgetall("k:{05}")
        answers = await pipe.execute(raise_on_error=False)
        assert answers[:64] == [str(shard).encode() for shard in range(64)]
        assert "WRONGTYPE" in str(answers[64])
        with pytest.raises(ValueError, match="a transaction of several slots"):
            await client.pipeline(transaction=True).set("a:{1}", 1).set("a:{2}", 1).execute()


async def test_a_slot_on_the_move_delays_and_refuses_nothing(own_cluster) -> None:
    """Half moved: some keys here, some there. Afterwards: MOVED, and NOSCRIPT at the new node."""
    cluster = await own_cluster()
    pair = PAIRS[0]
    async with small_fleet(cluster.url, shards=64) as fleet:
        await fleet.make_live(pair)
        source = cluster.node_of(fleet.keys.book(pair))
        target = cluster.other_than(source)
        before = fleet._connection.generation
        async with asyncio.TaskGroup() as group, MovingSlot(cluster, fleet.keys.book(pair), target) as moving:
            assert await moving.move_keys(2) == 2
            publishing = group.create_task(fleet.publish(pair, delta(pair, {"64000": "12"}, {}, 8)))
            routes = fleet._connection._routes
            await wait_until(lambda: routes.refusals > 2, "the call to be asked again")
            assert not publishing.done()
        assert (await load_book(fleet.client, fleet.keys, pair)).bids["64000"] == "12"
        await fleet.publish(pair, delta(pair, {"64000": "13"}, {}, 9))  # no new token was needed
        assert (await load_book(fleet.client, fleet.keys, pair)).bids["64000"] == "13"
        assert fleet._connection.generation == before
        assert fleet._connection.connected


async def test_a_slot_that_stays_half_moved_is_told_as_not_carried_out(own_cluster, monkeypatch) -> None:
    monkeypatch.setattr(cluster_routes, "PATIENCE_S", 0.1)
    cluster = await own_cluster()
    pair = PAIRS[0]
    async with small_fleet(cluster.url, shards=64) as fleet:
        await fleet.make_live(pair)
        n = int(await fleet.client.hget(fleet.keys.book(pair), "n"))
        target = cluster.other_than(cluster.node_of(fleet.keys.book(pair)))
        async with MovingSlot(cluster, fleet.keys.book(pair), target) as moving:
            await moving.move_keys(2)
            with pytest.raises(ConnectionLost, match=r"did not serve slot \d+ for 0\.1 s"):
                await fleet.publish(pair, delta(pair, {"64000": "12"}, {}, 8))
            with pytest.raises(RedisConnectionError, match="did not serve slot"):
                await acquired(fleet, pair, fleet.client)
        assert (await load_book(fleet.client, fleet.keys, pair)).n == n
        await fleet.publish(pair, delta(pair, {"64000": "12"}, {}, 8))


async def test_keys_that_have_moved_are_asked_for_at_the_other_node(own_cluster) -> None:
    cluster = await own_cluster()
    async with connected(cluster.url) as (client, ordered):
        await client.set("a:{07}", "1")
        target = cluster.other_than(cluster.node_of("a:{07}"))
        async with MovingSlot(cluster, "a:{07}", target) as moving:
            await moving.move_keys()
            assert await client.get("a:{07}") == b"1"
            pipe = client.pipeline(transaction=False)
            assert await pipe.get("a:{07}").get("b:{08}").execute() == [b"1", None]
            for connection in (client, ordered):
                assert not await scripts.release(connection, lease="a:{07}", value="other")


async def test_a_killed_primary_costs_its_own_pairs_alone_until_its_replica_serves(own_cluster) -> None:
    cluster = await own_cluster(replicas=1)
    async with small_fleet(cluster.url, shards=64) as fleet:
        for pair in PAIRS:
            await fleet.make_live(pair)
        killed = cluster.node_of(fleet.keys.tail(fleet.keys.shard(PAIRS[0])))
        lost = [pair for pair in PAIRS if cluster.node_of(fleet.keys.book(pair)) is killed]
        kept = [pair for pair in PAIRS if pair not in lost]
        await cluster.replicated()
        await killed.kill()
        ordered = fleet._connection
        await wait_until(lambda: not ordered.connected, "the break to be seen")
        with pytest.raises(ConnectionLost, match=r"the connection to .* was lost"):
            await fleet.publish(lost[0], delta(lost[0], {"1": "1"}, {}, 8))
        await ordered.connect()  # the others are served while one is away
        assert ordered.connected
        await fleet.publish(kept[0], delta(kept[0], {"64000": "12"}, {}, 8))
        await cluster.healthy()

        async def granted() -> Granted | None:
            try:
                return await acquired(fleet, lost[0], fleet.client)
            except RedisConnectionError:
                return None

        answer = await wait_until(granted, "a lease at the promoted replica")
        assert answer is not None
        cell = answer.cells[0]
        assert cell is not None
        assert cell.sequence == "7"  # what was published before is there
        fleet._lines[lost[0]] = answer.token, answer.n[0], fleet.members[0]
        await fleet.publish(lost[0], delta(lost[0], {"64000": "12"}, {}, 8))
        found = await load_book(fleet.client, fleet.keys, lost[0])
        assert found.bids["64000"] == "12"
        assert found.sequence == 8
        assert ordered.connected


async def test_a_primary_that_gives_way_in_peace_is_a_break_too(own_cluster) -> None:
    """CLUSTER FAILOVER closes no connection of ours: the former primary answers MOVED, and what it lost nobody says."""
    cluster = await own_cluster(replicas=1)
    async with small_fleet(cluster.url, shards=64) as fleet:
        pair = PAIRS[0]
        await fleet.make_live(pair)
        former = cluster.node_of(fleet.keys.book(pair))
        for node in cluster.nodes:
            if (await ask(node, "INFO", "replication")).get("master_port") == former.port:
                await ask(node, "CLUSTER", "FAILOVER")

        async def gave_way() -> bool:
            await cluster.healthy()
            return cluster.node_of(fleet.keys.book(pair)) is not former

        await wait_until(gave_way, "the replica to take over")
        assert fleet._connection.connected
        await fleet.publish(pair, delta(pair, {"64000": "12"}, {}, 8))  # MOVED, then taken by the new primary
        await wait_until(lambda: not fleet._connection.connected, "the break to be told")
        await fleet._connection.connect()
        await fleet.publish(pair, delta(pair, {"64000": "13"}, {}, 9))


async def test_one_url_of_a_node_that_is_gone_is_enough_with_another(cluster: RedisCluster, free_port) -> None:
    url = f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{cluster.nodes[1].port}"
    async with connected(url) as (client, ordered):
        await client.set("k", "v")
        assert await ordered.run("k", lambda node, _: node.call(pack("GET", "k"))) == b"v"


async def test_a_cluster_that_is_not_there_and_a_server_that_is_none_are_told(redis_url: str, free_port) -> None:
    gone = OrderedCluster(f"redis+cluster://me:hush@127.0.0.1:{free_port()}")
    with pytest.raises(Unreachable, match=r"no node of the Cluster can be asked.*connection refused") as caught:
        await gone.connect()
    assert "hush" not in str(caught.value)
    single = Settings(redis_url=redis_url.replace("redis://", "redis+cluster://"))
    client = connect(single)
    with pytest.raises(Unreachable, match="cluster support disabled"):
        await check(client, single)
    await client.aclose()


async def test_every_node_must_evict_nothing_and_every_slot_be_served(own_cluster) -> None:
    cluster = await own_cluster(replicas=1)
    settings = Settings(redis_url=cluster.url)
    client = connect(settings)
    assert isinstance(client, ClusterClient)
    assert int((await check(client, settings)).split(".")[0]) >= 6
    replica = cluster.nodes[-1]
    await ask(replica, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with pytest.raises(ConfigError, match=f"127.0.0.1:{replica.port}: maxmemory-policy is allkeys-lru"):
        await check(client, settings)
    await ask(replica, "CONFIG", "SET", "maxmemory-policy", "noeviction")
    node = cluster.node_of("k")
    await ask(node, "CLUSTER", "DELSLOTS", await ask(node, "CLUSTER", "KEYSLOT", "k"))

    async def told() -> bool:
        try:
            await check(client, settings)
        except Unreachable as error:
            return "1 of 16384 slots are served by no node" in str(error)
        return False

    await wait_until(told, "the slot to be missed")
    await client.aclose()
