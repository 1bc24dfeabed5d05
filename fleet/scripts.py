"""The only EVALSHA: every Lua verb as a typed function. What a verb guarantees is said at the head of its file in lua/.

All verbs run on a pooled client (redis.asyncio.Redis) or on an ordered connection; on a Cluster both find the node of the
first key. A script the server does not know (NOSCRIPT: flushed, restarted, failed over, a slot that moved) was not executed
at all; it is loaded at that node and asked once more, here and nowhere else. Errors: redis-py's own from a pooled client;
ConnectionLost from an ordered connection, also where a primary that has become a replica refused to write.
"""

import asyncio
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

import msgpack
import redis.asyncio
from redis.exceptions import NoScriptError

from fleet.cell import Cell
from fleet.keys import Keys
from fleet.ordered import OrderedConnection, pack
from fleet.ordered_cluster import Ordered, OrderedCluster
from fleet.pair import Pair
from fleet.redis_cluster import ClusterClient, run_on
from fleet.script_source import Script, load_script

Connection = redis.asyncio.Redis | Ordered
Key = str | bytes
DEAD_GROUP_MS = 600_000  # DESIGN §5, 7: a reader group unseen for ten minutes holds nothing back

_ACQUIRE = load_script("acquire", ("tail", "lease", "offer"), ("holder", "ttl_ms", "floor", "field*"))
_RENEW = load_script("renew", ("lease*",), ("ttl_ms", "value*"))
_RELEASE = load_script("release", ("lease",), ("value",))
_OFFER = load_script("offer", ("pair*",), ("ttl_ms", "offer*"))
_PUBLISH = load_script("publish", ("tail", "deltas", "trades", "book*"), ("book_ttl_ms", "lines"))
_TOUCH = load_script("touch", ("tail", "book*"), ("book_ttl_ms", "claim*"))
_STALE = load_script("stale", ("pair*",), ())
_TRIM = load_script("trim", ("stream",), ("retain_ms", "maxlen", "dead_group_ms"))
_BEAT = load_script("beat", ("members", "record", "commands", "said"), ("member", "record", "said", "ttl_ms", "come*"))
_ELECT = load_script("elect", ("leader", "term"), ("member", "ttl_ms", "floor"))
_WRITE_PLAN = load_script(
    "write_plan", ("leader", "head", "unplaced", "moves", "plan*"), ("value", "ttl_ms", "retain", "rows", "text*")
)
_BUDGET = load_script("budget", ("bucket",), ("capacity", "refill_per_s", "cost", "ban_ms"))

SCRIPTS: tuple[Script, ...] = (
    _ACQUIRE, _RENEW, _RELEASE, _OFFER, _PUBLISH, _TOUCH, _STALE, _TRIM, _BEAT, _ELECT, _WRITE_PLAN, _BUDGET,
)  # fmt: skip


class Granted(NamedTuple):
    """The lease is ours. Per field asked: the cell as it was before (None: there was none), and its n now."""

    token: int
    cells: tuple[Cell | None, ...]
    n: tuple[int, ...]


class Taken(NamedTuple):
    """Somebody else holds the lease."""

    holder: str


class Reserved(NamedTuple):
    """Nobody holds the lease, but its last holder handed it to `next`."""

    next: str


async def acquire(
    redis: Connection,
    *,
    tail: Key,
    lease: Key,
    offer: Key,
    holder: str,
    ttl_ms: int,
    floor: int,
    fields: Sequence[str],
) -> Granted | Taken | Reserved:
    """Ask for a lease. `floor`: the highest token ever seen, 0 if none."""
    reply = await _run(redis, _ACQUIRE, (tail, lease, offer), (holder, ttl_ms, floor, *fields))
    match reply[0]:
        case b"OK":
            cells = tuple(Cell.parse(old) if old else None for old in reply[2::2])
            return Granted(int(reply[1]), cells, tuple(int(n) for n in reply[3::2]))
        case b"TAKEN":
            return Taken(reply[1].decode())
        case b"RESERVED":
            return Reserved(reply[1].decode())
    raise _unexpected(_ACQUIRE, reply)


def lease_value(token: int, holder: str) -> str:
    """The text of a lease key: `token holder`."""
    return f"{token} {holder}"


async def renew(redis: Connection, *, leases: Sequence[Key], values: Sequence[str], ttl_ms: int) -> list[int]:
    """Extend leases of one shard; returns the 0-based positions of those that are lost."""
    if not leases:
        return []
    reply = await _run(redis, _RENEW, leases, (ttl_ms, *values))
    return [position - 1 for position in reply]


async def release(redis: Connection, *, lease: Key, value: str) -> bool:
    """Give a lease (or the leader key) back; False when it was not ours any more."""
    return bool(await _run(redis, _RELEASE, (lease,), (value,)) == b"RELEASED")


class Offer(NamedTuple):
    """The lease held as `value`, and its offer key; `next` is the member it may go to, '' withdraws the offer."""

    lease: Key
    offer: Key
    value: str
    next: str


async def offer(redis: Connection, *, offers: Sequence[Offer], ttl_ms: int) -> list[int]:
    """Make or withdraw offers of one shard; returns the 0-based positions of those whose lease is not ours any more."""
    if not offers:
        return []
    named = [key for one in offers for key in (one.lease, one.offer)]
    args: list[str | int] = [ttl_ms]
    for one in offers:
        args += (one.value, one.next)
    reply = await _run(redis, _OFFER, named, args)
    return [position - 1 for position in reply]


class Word(StrEnum):
    """Verdicts on a published line; see lua/publish.lua."""

    OK = "OK"
    REWRITE = "REWRITE"
    FENCED = "FENCED"
    BEHIND = "BEHIND"
    AHEAD = "AHEAD"


class Verdict(NamedTuple):
    """`cell` is given with a refusal; None there (FENCED): the cell is gone."""

    word: Word
    cell: Cell | None = None


class PublishLine(NamedTuple):
    """What one call brings for one field of the tail. Texts are sent as they are.

    field      of the tail hash: the label, or label + "#trades"
    label      `k` of the entries
    token      the lease's token
    n          the last published number; the first entry gets n + 1
    entries    flat: t, d, t, d …; empty: a flush only
    sequence   the venue's after this call, as text; `-` after a Reset or when it has none
    trades     entries go to the trades stream, not the deltas stream
    book       whose hashes to bring up to date, None for none
    based_on   the n these hashes must stand at to be patched; None: this call brings the whole state
    levels     (bids, asks), the whole state after this call; None: the entries say what changes
    fields     flat: further fields of main, name, value … (status, best prices …)
    """

    field: str
    label: str
    token: int
    n: int
    entries: Sequence[str | bytes]
    sequence: str = "-"
    trades: bool = False
    book: Pair | None = None
    based_on: int | None = None
    levels: tuple[Mapping[str, str], Mapping[str, str]] | None = None
    fields: Sequence[str] = ()


# Redis' cmsgpack knows no bin type ("Bad data format", tried on 6.2 and 7.0): bytes go as raw, which Lua takes as they are.
_pack_message = msgpack.Packer(use_bin_type=False, autoreset=True).pack
_TAKEN = {b"OK": Verdict(Word.OK), b"REWRITE": Verdict(Word.REWRITE)}


@lru_cache(maxsize=1024)
def _shard_keys(keys: Keys, shard: int) -> tuple[bytes, bytes, bytes]:
    return keys.tail(shard).encode(), keys.deltas(shard).encode(), keys.trades(shard).encode()


@lru_cache(maxsize=65_536)
def _book_keys(keys: Keys, pair: Pair) -> tuple[bytes, bytes, bytes]:
    return keys.book(pair).encode(), keys.bids(pair).encode(), keys.asks(pair).encode()


async def publish(
    connection: Ordered, keys: Keys, shard: int, book_ttl_ms: int, lines: Sequence[PublishLine]
) -> list[Verdict]:
    """Append and flush many pairs of one shard; a verdict a line, in order. All pairs must be of that shard."""
    named = [*_shard_keys(keys, shard)]
    rows = []
    for line in lines:
        book = 0
        if line.book is not None:
            named += _book_keys(keys, line.book)
            book = len(named) // 3 - 1
        rows.append(
            (
                line.field,
                line.label,
                str(line.token),
                str(line.n),
                3 if line.trades else 2,
                book,
                "" if line.based_on is None else str(line.based_on),
                None if line.levels is None else _pack_message(line.levels),
                line.sequence,
                line.fields,
                line.entries,
            )
        )
    reply = await _run(connection, _PUBLISH, named, (book_ttl_ms, _pack_message(rows)))
    return [_TAKEN.get(verdict) or _refusal(verdict) for verdict in reply]


def _refusal(verdict: bytes) -> Verdict:
    word, _, cell = verdict.decode().partition(" ")
    return Verdict(Word(word), Cell.parse(cell) if cell else None)


class Touched(StrEnum):
    """Answers of `touch`; see lua/touch.lua."""

    OK = "OK"
    FENCED = "FENCED"
    GONE = "GONE"


async def touch(
    redis: Connection, keys: Keys, shard: int, book_ttl_ms: int, claims: Sequence[tuple[Pair, int]]
) -> list[Touched]:
    """Say that quiet books are current. `claims`: (pair, our token), all of that shard."""
    if not claims:
        return []
    named: list[Key] = [keys.tail(shard)]
    args: list[str | int] = [book_ttl_ms]
    for pair, token in claims:
        named += _book_keys(keys, pair)
        args += (pair.label, token)
    return [Touched(word.decode()) for word in await _run(redis, _TOUCH, named, args)]


async def mark_stale(redis: Connection, keys: Keys, pairs: Sequence[Pair]) -> int:
    """Turn the books (of one shard) whose lease is gone to status `stale`; returns how many were turned."""
    if not pairs:
        return 0
    named: list[Key] = []
    for pair in pairs:
        named += (keys.lease(pair), keys.book(pair))
    return int(await _run(redis, _STALE, named, ()))


class Trimmed(NamedTuple):
    """`removed` entries are gone. `capped_at`: id of the oldest kept, when the hard cap cut what readers still need."""

    removed: int
    capped_at: str | None = None


async def trim(
    redis: Connection, *, stream: Key, retain_ms: int, maxlen: int, dead_group_ms: int = DEAD_GROUP_MS
) -> Trimmed:
    """Cut a stream behind its readers; see lua/trim.lua."""
    reply = await _run(redis, _TRIM, (stream,), (retain_ms, maxlen, dead_group_ms))
    return Trimmed(int(reply[1]), reply[2].decode() if reply[0] == b"CAPPED" else None)


class Beaten(NamedTuple):
    """`vanished`: we were not listed when this beat arrived. `commands`: oldest first."""

    vanished: bool
    commands: tuple[str, ...]


async def beat(
    redis: Connection, keys: Keys, *, member: str, record: str, pair_state: str, ttl_ms: int, come: Sequence[str] = ()
) -> Beaten:
    """One heartbeat; `record` and `pair_state` are JSON. `come`: the commands of the last answered beat."""
    named = (keys.members(), keys.member(member), keys.commands(member), keys.pair_state(member))
    reply = await _run(redis, _BEAT, named, (member, record, pair_state, ttl_ms, *come))
    return Beaten(bool(reply[0]), tuple(command.decode() for command in reply[1:]))


class Elected(NamedTuple):
    """Who leads under which term. `is_new`: we have just become leader."""

    leader: str
    term: int
    is_new: bool = False


async def elect(redis: Connection, keys: Keys, *, member: str, ttl_ms: int, floor: int = 0) -> Elected:
    """Become or stay leader, or learn who is. `floor`: the highest term ever seen, 0 if none."""
    reply = await _run(redis, _ELECT, (keys.leader(), keys.term()), (member, ttl_ms, floor))
    if reply[0] == b"FOLLOWER":
        return Elected(reply[2].decode(), int(reply[1]))
    return Elected(member, int(reply[1]), reply[0] == b"ELECTED")


PlanRows = tuple[bool, Sequence[str], Sequence[str], Sequence[str]]


async def write_plan(
    redis: Connection, keys: Keys, *, leader: str, ttl_ms: int, retain: int, rows: PlanRows, texts: Mapping[str, str]
) -> int | None:
    """A part of a plan: its rows, and the text of each member; see lua/write_plan.lua. `leader` is `term member`.

    Returns how many texts to keep were not there; None when another leads: nothing was written.
    """
    named = (keys.leader(), keys.plan(), keys.unplaced(), keys.moves(), *(keys.orders(member) for member in texts))
    reply = await _run(redis, _WRITE_PLAN, named, (leader, ttl_ms, retain, _pack_message(rows), *texts.values()))
    return None if reply[0] == b"REFUSED" else int(reply[1])


class Refused(NamedTuple):
    """A budget that was not granted: ask again after `wait_ms`."""

    wait_ms: int
    banned: bool


async def spend(redis: Connection, *, bucket: Key, capacity: float, refill_per_s: float, cost: float) -> Refused | None:
    """Take `cost` tokens of a shared budget: None when granted. Raises ValueError for what can never be granted."""
    if cost > capacity or refill_per_s <= 0:
        raise ValueError(f"cost {cost:g} of capacity {capacity:g}, refill {refill_per_s:g}/s: could never be granted")
    return _refused(await _run(redis, _BUDGET, (bucket,), _numbers(capacity, refill_per_s, cost, 0)))


async def record_ban(redis: Connection, *, bucket: Key, capacity: float, refill_per_s: float, ban_ms: int) -> int:
    """Tell everybody behind our address that the venue has banned it; returns how long the ban lasts now (ms)."""
    refused = _refused(await _run(redis, _BUDGET, (bucket,), _numbers(capacity, refill_per_s, 0, max(1, ban_ms))))
    return refused.wait_ms if refused else 0


def _numbers(*values: float) -> list[str]:
    return [f"{value:.6f}" if isinstance(value, float) else str(value) for value in values]


def _refused(reply: Any) -> Refused | None:
    return None if reply[0] == b"OK" else Refused(int(reply[1]), reply[0] == b"BANNED")


async def load_all(redis: redis.asyncio.Redis | OrderedConnection) -> None:
    """Load every script, so that the first calls need no second try. On a Cluster, at every primary there is now."""
    nodes = list((await redis.primaries()).values()) if isinstance(redis, ClusterClient) else [redis]
    for node in nodes:
        for script in SCRIPTS:
            if isinstance(node, OrderedConnection):
                await node.call(pack("SCRIPT", "LOAD", script.text))
            else:
                await node.script_load(script.text)


async def _run(redis: Connection, script: Script, keys: Sequence[Key], args: Sequence[str | int | bytes]) -> Any:
    command = ("EVALSHA", script.sha, len(keys), *keys, *args)
    if isinstance(redis, OrderedConnection):
        return await _in_order(redis, script, pack(*command))
    if isinstance(redis, OrderedCluster):
        packed = pack(*command)
        return await redis.run(keys[0], lambda node, asking: _in_order(node, script, packed, asking=asking))
    if isinstance(redis, ClusterClient):
        return await redis.on_node_of(keys[0], lambda node, asking: _pooled(node, script, command, asking=asking))
    return await _pooled(redis, script, command)


_ASKING = pack("ASKING")


async def _in_order(node: OrderedConnection, script: Script, packed: bytes, *, asking: bool = False) -> Any:
    parts = (_ASKING, packed) if asking else (packed,)
    try:
        if not asking:
            return await node.call(packed)
        return (await asyncio.gather(*[node.send(part) for part in parts]))[-1]
    except NoScriptError:
        # All in one turn: whoever asks after us on this connection finds the script loaded.
        load = pack("SCRIPT", "LOAD", script.text)
        return (await asyncio.gather(*[node.send(part) for part in (load, *parts)]))[-1]


async def _pooled(node: redis.asyncio.Redis, script: Script, command: tuple[Any, ...], *, asking: bool = False) -> Any:
    try:
        return await run_on(node, command, {}, asking=asking)
    except NoScriptError:
        await node.execute_command("SCRIPT LOAD", script.text)  # type: ignore[no-untyped-call]
        return await run_on(node, command, {}, asking=asking)


def _unexpected(script: Script, reply: Any) -> RuntimeError:
    return RuntimeError(f"lua/{script.name}.lua answered {reply!r}: another version of the program loaded it?")
