"""The account lease, on MariaDB and on SQLite."""

import asyncio

import pytest
import sqlalchemy as sa

from fleet.errors import Fenced
from fleet.schema import ACCOUNT_LEASE
from fleet.sql import writing
from tests.support.trading import fill, order, trade
from trader.lease import AccountLease, HeldByOther, Leases, fence, halt, resume
from trader.ledger import Ledger
from trader.orders import OrderState


async def taken(leases: Leases) -> AccountLease:
    lease = await leases.acquire("main")
    assert isinstance(lease, AccountLease)
    return lease


async def expire(engine) -> None:
    async with writing(engine) as connection:
        await connection.execute(ACCOUNT_LEASE.update().values(EXPIRES_MS=1))


async def test_one_owner_at_a_time(any_engine) -> None:
    await taken(Leases(any_engine, "a", 60_000))
    other = await Leases(any_engine, "b", 60_000).acquire("main")
    assert isinstance(other, HeldByOther)
    assert other.holder == "a"
    assert 50_000 < other.expires_in_ms <= 60_000


async def test_accounts_are_owned_one_by_one(any_engine) -> None:
    leases = Leases(any_engine, "a", 60_000)
    await leases.acquire("main")
    assert isinstance(await Leases(any_engine, "b", 60_000).acquire("other"), AccountLease)


async def test_of_many_who_try_at_once_one_wins(any_engine) -> None:
    found = await asyncio.gather(*(Leases(any_engine, f"d{number}", 60_000).acquire("main") for number in range(8)))
    assert sum(isinstance(one, AccountLease) for one in found) == 1


async def test_after_expiry_the_next_owner_has_a_higher_epoch_and_the_old_one_is_fenced(any_engine) -> None:
    old_leases = Leases(any_engine, "a", 60_000)
    old = await taken(old_leases)
    await expire(any_engine)
    new = await taken(Leases(any_engine, "b", 60_000))
    assert new.epoch > old.epoch
    with pytest.raises(Fenced, match=r"account 'main' went to b \(epoch 2\); ours was epoch 1"):
        await old_leases.renew(old)
    ledger = Ledger(any_engine, old)
    writes = (
        ledger.intents([order()]),
        ledger.opened([order()]),
        ledger.ended([order()], OrderState.CANCELLED, ""),
        ledger.fill(fill()),
        ledger.load(trade()),
    )
    for write in writes:
        with pytest.raises(Fenced):
            await write


async def test_a_release_lets_the_next_owner_in_at_once(any_engine) -> None:
    leases = Leases(any_engine, "a", 60_000)
    lease = await taken(leases)
    await leases.release(lease)
    assert not lease.safe(0)
    assert (await taken(Leases(any_engine, "b", 60_000))).epoch == lease.epoch + 1


async def test_the_release_of_a_lost_lease_does_not_end_the_new_ones(any_engine) -> None:
    old_leases = Leases(any_engine, "a", 60_000)
    old = await taken(old_leases)
    await expire(any_engine)
    new = await taken(Leases(any_engine, "b", 60_000))
    await old_leases.release(old)
    async with writing(any_engine) as connection:
        await fence(connection, new, unexpired=True)


async def test_an_expired_lease_may_not_write_intents_even_without_a_successor(any_engine) -> None:
    lease = await taken(Leases(any_engine, "a", 60_000))
    await expire(any_engine)
    with pytest.raises(Fenced, match="our lease of account 'main' ended"):
        async with writing(any_engine) as connection:
            await fence(connection, lease, unexpired=True)


async def test_the_same_daemon_gets_a_new_epoch_too(any_engine) -> None:
    leases = Leases(any_engine, "a", 60_000)
    assert (await taken(leases)).epoch < (await taken(leases)).epoch


async def test_the_epoch_does_not_fall_when_the_row_is_deleted(any_engine) -> None:
    leases = Leases(any_engine, "a", 60_000)
    lease = await taken(leases)
    await Ledger(any_engine, lease).intents([order(account="main", epoch=41)])
    async with writing(any_engine) as connection:
        await connection.execute(sa.delete(ACCOUNT_LEASE))
    assert (await taken(leases)).epoch == 42


async def test_a_lease_is_safe_for_three_quarters_of_its_time_from_sending(any_engine) -> None:
    now = [1000.0]
    leases = Leases(any_engine, "a", 400, clock=lambda: now[0])
    lease = await taken(leases)
    assert lease.safe(1299)
    assert not lease.safe(1300)
    now[0] = 2000.0
    await leases.renew(lease)
    assert lease.safe(2299)


async def test_a_renewal_prolongs_the_lease(any_engine) -> None:
    leases = Leases(any_engine, "a", 60_000)
    lease = await taken(leases)
    await expire(any_engine)
    await leases.renew(lease)
    assert isinstance(await Leases(any_engine, "b", 60_000).acquire("main"), HeldByOther)


async def test_a_halt_is_learnt_with_the_renewal_and_ends_with_resume(any_engine) -> None:
    leases = Leases(any_engine, "a", 60_000)
    lease = await taken(leases)
    await halt(any_engine, "strange prices")
    await leases.renew(lease)
    assert lease.halted == "strange prices"
    assert await resume(any_engine)
    assert not await resume(any_engine)
    await leases.renew(lease)
    assert lease.halted == ""
