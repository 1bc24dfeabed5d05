"""The mirror of the members in SQL."""

import pytest

from fleet.daemon_state import DaemonState, read_daemon_states, role_text, write_daemon_states
from fleet.schema import DAEMON_STATE


def member(name: str, beat_ms: int = 1_700_000_000_000, **config: object) -> DaemonState:
    return DaemonState(name, ("feed", "monitor"), beat_ms, config=config)


async def test_members_are_inserted_updated_and_stopped(any_engine) -> None:
    await write_daemon_states(any_engine, [member("a", capacity=500), member("b")])
    await write_daemon_states(any_engine, [member("a", 1_700_000_060_000, capacity=7)])
    [a, b] = await read_daemon_states(any_engine)
    assert (a.daemon_id, a.status, a.last_heartbeat_ms, a.config) == (
        "a",
        "running",
        1_700_000_060_000,
        {"capacity": 7},
    )
    assert (b.daemon_id, b.status, b.roles) == ("b", "stopped", ("monitor",))


async def test_a_row_keeps_its_id(any_engine) -> None:
    async def ids() -> dict[str, int]:
        async with any_engine.connect() as connection:
            rows = (await connection.execute(DAEMON_STATE.select())).mappings().all()
        return {row["DAEMON_ID"]: row["ID"] for row in rows}

    await write_daemon_states(any_engine, [member("a"), member("b")])
    before = await ids()
    await write_daemon_states(any_engine, [member("b"), member("c")])
    assert (await ids()).items() >= before.items()


async def test_a_member_that_returns_runs_again(any_engine) -> None:
    await write_daemon_states(any_engine, [member("a")])
    await write_daemon_states(any_engine, [])
    await write_daemon_states(any_engine, [member("a")])
    [a] = await read_daemon_states(any_engine)
    assert a.status == "running"


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        (("feed", "monitor"), "monitor"),
        (("trader",), "trader"),
        (("feed", "monitor", "trader"), "both"),
        (("trader", "feed"), "feed,trader"),
    ],
)
def test_roles_are_spelled_as_in_the_first_draft(roles: tuple[str, ...], expected: str) -> None:
    assert role_text(roles) == expected
