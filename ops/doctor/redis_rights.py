"""What an ACL user must be allowed: the commands of the program, tried on keys that vanish; the scripts, loaded."""

import secrets
from shlex import quote
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from fleet.keys import Keys
from fleet.pair import Pair
from fleet.scripts import SCRIPTS
from ops.doctor.check import Check, fail, ok

# All that the program sends, by itself or from its scripts. A test runs daemons and commands as a user with these rights alone.
COMMANDS = (
    *(
        "get",
        "set",
        "mget",
        "incr",
        "del",
        "exists",
        "expire",
        "pexpire",
        "pttl",
        "hget",
        "hset",
        "hsetnx",
        "hmget",
        "hgetall",
    ),
    *(
        "hkeys",
        "hdel",
        "zadd",
        "zrem",
        "zrange",
        "zremrangebyscore",
        "lpush",
        "rpush",
        "lrange",
        "ltrim",
        "xadd",
        "xlen",
    ),
    *("xrange", "xrevrange", "xread", "xreadgroup", "xack", "xpending", "xautoclaim", "xtrim", "xgroup|create"),
    *("xinfo|groups", "xinfo|consumers", "evalsha", "script|load", "multi", "exec", "ping", "time", "info", "select"),
    *("client|setname", "config|get", "role", "cluster|slots", "asking"),
)
_FAMILIES = ("book", "lease", "offer", "tail", "deltas", "trades", "{fleet}")


def acl_rules(prefix: str) -> str:
    """The rules of a user that may do what a fleet does, and nothing else: keys (of a namespace's prefix), commands."""
    patterns = [f"~{prefix}*"] if prefix else [f"~{family}:*" for family in _FAMILIES]
    return " ".join(["resetchannels", *patterns, "-@all", *(f"+{command}" for command in COMMANDS)])


SCRATCH_MS = 10_000  # should the doctor be killed between writing and deleting
_SOME = Pair("doctor", "spot", "A/B")  # a venue that does not exist: its keys are never there


async def check_rights(client: Redis, keys: Keys) -> Check:
    """Carry out each command; only keys named doctor are written, and deleted."""
    scratch = keys.budget("doctor", secrets.token_hex(8))
    refused: dict[str, str] = {}
    for command in [*_writes(scratch), *_reads(keys), *_server()]:
        try:
            await client.execute_command(*command)  # type: ignore[no-untyped-call]
        except NoPermissionError as error:
            refused[str(command[0])] = " ".join(str(error).split())
        except ResponseError:
            continue  # carried out, with an answer about the data: allowed
    try:
        await client.delete(scratch)
    except NoPermissionError as error:
        refused["DEL"] = " ".join(str(error).split())
    if refused:
        detail = f"refused: {', '.join(refused)} ({next(iter(refused.values()))})"
        mend = f"redis-cli acl setuser USER {' '.join(quote(rule) for rule in acl_rules(keys.prefix).split())}"
        return fail("redis rights", detail, mend)
    return ok("redis rights", "every command and key that the fleet needs")


def _writes(scratch: str) -> list[tuple[Any, ...]]:
    """One key, deleted between types."""
    return [
        ("SET", scratch, "1", "PX", SCRATCH_MS), ("INCR", scratch), ("PEXPIRE", scratch, SCRATCH_MS), ("GET", scratch),
        ("MGET", scratch), ("PTTL", scratch), ("EXISTS", scratch), ("EXPIRE", scratch, "10"),
        ("DEL", scratch),
        ("HSETNX", scratch, "a", "1"),
        ("HSET", scratch, "a", "1"), ("PEXPIRE", scratch, SCRATCH_MS), ("HGET", scratch, "a"), ("HMGET", scratch, "a"),
        ("HGETALL", scratch), ("HKEYS", scratch), ("HDEL", scratch, "a"), ("DEL", scratch),
        ("XADD", scratch, "*", "k", "doctor"), ("PEXPIRE", scratch, SCRATCH_MS), ("XLEN", scratch),
        ("XRANGE", scratch, "-", "+"), ("XREVRANGE", scratch, "+", "-"), ("XREAD", "STREAMS", scratch, "0"),
        ("XGROUP", "CREATE", scratch, "doctor", "0"), ("XREADGROUP", "GROUP", "doctor", "me", "STREAMS", scratch, ">"),
        ("XPENDING", scratch, "doctor"), ("XAUTOCLAIM", scratch, "doctor", "me", "0", "0-0"),
        ("XACK", scratch, "doctor", "0-1"), ("XINFO", "GROUPS", scratch),
        ("XTRIM", scratch, "MINID", "0"), ("DEL", scratch),
        ("ZADD", scratch, "1", "a"), ("PEXPIRE", scratch, SCRATCH_MS), ("ZRANGE", scratch, "0", "-1", "WITHSCORES"),
        ("ZREMRANGEBYSCORE", scratch, "-inf", "0"), ("ZREM", scratch, "a"), ("DEL", scratch),
        ("LPUSH", scratch, "a"), ("RPUSH", scratch, "a"), ("PEXPIRE", scratch, SCRATCH_MS), ("LRANGE", scratch, "0", "-1"),
        ("LTRIM", scratch, "0", "0"), ("DEL", scratch),
    ]  # fmt: skip


def _reads(keys: Keys) -> list[tuple[Any, ...]]:
    """A user may be allowed some key patterns and not others."""
    shard = keys.shard(_SOME)
    names = [
        *(keys.book(_SOME), keys.bids(_SOME), keys.asks(_SOME), keys.lease(_SOME), keys.offer(_SOME)),
        *(keys.tail(shard), keys.deltas(shard), keys.trades(shard), keys.lane_lease(0)),
        *(keys.layout(), keys.leader(), keys.term(), keys.members(), keys.lanes()),
    ]
    return [("EXISTS", name) for name in names]


def _server() -> list[tuple[Any, ...]]:
    return [("TIME",), ("PING",), ("INFO", "server")]


async def check_scripts(client: Redis) -> Check:
    """Load every Lua verb: this compiles it there, and writes no key."""
    for script in SCRIPTS:
        try:
            await client.script_load(script.text)
        except RedisError as error:
            text = " ".join(str(error).split())[:200]
            return fail(
                "redis scripts", f"{script.name}: {text}", "allow +@scripting to this user; Redis 6.2.7 or newer"
            )
    return ok("redis scripts", f"{len(SCRIPTS)} verbs load")
