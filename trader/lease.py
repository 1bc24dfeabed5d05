# ruff: noqa: SIM300 - columns are upper case, which makes the rule take them for constants
"""Who owns a trading account: a row in SQL, by the database's clock, with an epoch that only grows.

Every write of the ledger looks at this row first, under its lock and in its own transaction (`fence`): an owner that was
replaced cannot write, however late its write arrives. `halt` is asked in the same breath.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from fleet.clock import MonoMs, mono_ms
from fleet.errors import Fenced
from fleet.schema import ACCOUNT_LEASE, FLEET, ORDERS, database_ms
from fleet.sql import is_sqlite, writing

# the holder stops at this share of the lease, counted from SENDING the last successful renewal
_SAFE_SHARE = 0.75
_HALT = "halt"


@dataclass(slots=True)
class AccountLease:
    """Held. `safe_until_ms` is monotonic; after it nothing may be sent. `halted` holds the reason of a halt.

    `numbers`: task id → n of its last order in this epoch. It outlives the task's engine: a changed row gets a new engine
    under the same epoch, and no client order id may come twice.
    """

    account: str
    holder: str
    epoch: int
    ttl_ms: int
    safe_until_ms: float
    halted: str = ""
    numbers: dict[int, int] = field(default_factory=dict)

    def safe(self, now_ms: float) -> bool:
        """Whether it is certain that nobody else owns the account."""
        return now_ms < self.safe_until_ms


class HeldByOther(NamedTuple):
    """Somebody else owns the account for so long at least."""

    holder: str
    expires_in_ms: int


class _Row(NamedTuple):
    holder: str
    epoch: int
    expires_ms: int
    now_ms: int
    halted: str


class Leases:
    """Account leases of one daemon. `holder` must be new with every start of the process.

    All methods raise Unreachable or SchemaMissing when SQL does not serve.
    """

    def __init__(self, engine: AsyncEngine, holder: str, ttl_ms: int, *, clock: MonoMs = mono_ms) -> None:
        self.holder = holder
        self.ttl_ms = ttl_ms
        self._engine = engine
        self._clock = clock

    async def acquire(self, account: str) -> AccountLease | HeldByOther:
        """Take the account if it is free or expired: always with a higher epoch than ever before."""
        sent_ms = self._clock()
        async with writing(self._engine, bounded=True) as connection:
            await _ensure_row(connection, account)
            row = await _locked(connection, account)
            if row.expires_ms > row.now_ms and row.holder != self.holder:
                return HeldByOther(row.holder, row.expires_ms - row.now_ms)
            # the orders know the highest epoch, should somebody have deleted the lease's row
            ordered = await connection.scalar(sa.select(sa.func.max(ORDERS.c.EPOCH)).where(ORDERS.c.ACCOUNT == account))
            epoch = max(row.epoch, ordered or 0) + 1
            await connection.execute(
                ACCOUNT_LEASE.update()
                .where(ACCOUNT_LEASE.c.ACCOUNT == account)
                .values(HOLDER=self.holder, EPOCH=epoch, EXPIRES_MS=row.now_ms + self.ttl_ms)
            )
        return AccountLease(account, self.holder, epoch, self.ttl_ms, self._safe_until(sent_ms), row.halted)

    async def renew(self, lease: AccountLease) -> None:
        """Prolong, and learn of a halt. Raises Fenced when the account has a new owner."""
        sent_ms = self._clock()
        async with writing(self._engine, bounded=True) as connection:
            row = await fence(connection, lease)
            await connection.execute(
                ACCOUNT_LEASE.update()
                .where(ACCOUNT_LEASE.c.ACCOUNT == lease.account)
                .values(EXPIRES_MS=row.now_ms + self.ttl_ms)
            )
        lease.safe_until_ms = self._safe_until(sent_ms)
        lease.halted = row.halted

    async def release(self, lease: AccountLease) -> None:
        """Let the next owner in at once. Nothing happens if the lease is lost already."""
        lease.safe_until_ms = 0.0
        async with writing(self._engine, bounded=True) as connection:
            await connection.execute(
                ACCOUNT_LEASE.update()
                .where(ACCOUNT_LEASE.c.ACCOUNT == lease.account, ACCOUNT_LEASE.c.HOLDER == lease.holder)
                .where(ACCOUNT_LEASE.c.EPOCH == lease.epoch)
                .values(EXPIRES_MS=0)
            )

    def _safe_until(self, sent_ms: float) -> float:
        return sent_ms + _SAFE_SHARE * self.ttl_ms


async def fence(connection: AsyncConnection, lease: AccountLease, *, unexpired: bool = False) -> _Row:
    """Lock the lease's row to the end of the transaction and check that it is still ours. Raises Fenced."""
    row = await _locked(connection, lease.account)
    if (row.holder, row.epoch) != (lease.holder, lease.epoch):
        raise Fenced(
            f"account {lease.account!r} went to {row.holder or 'nobody'} (epoch {row.epoch}); ours was epoch {lease.epoch}"
        )
    if unexpired and row.expires_ms <= row.now_ms:
        raise Fenced(f"our lease of account {lease.account!r} ended {row.now_ms - row.expires_ms} ms ago")
    return row


async def _ensure_row(connection: AsyncConnection, account: str) -> None:
    empty = {"ACCOUNT": account, "HOLDER": "", "EPOCH": 0, "EXPIRES_MS": 0}
    if is_sqlite(connection):
        await connection.execute(sqlite.insert(ACCOUNT_LEASE).values(empty).on_conflict_do_nothing())
    else:
        same = {"ACCOUNT": ACCOUNT_LEASE.c.ACCOUNT}
        await connection.execute(mysql.insert(ACCOUNT_LEASE).values(empty).on_duplicate_key_update(same))


async def _locked(connection: AsyncConnection, account: str) -> _Row:
    lease = ACCOUNT_LEASE.c
    halted = sa.select(FLEET.c.VALUE).where(FLEET.c.NAME == _HALT).scalar_subquery()
    statement = (
        sa.select(lease.HOLDER, lease.EPOCH, lease.EXPIRES_MS, database_ms(connection), halted)
        .where(lease.ACCOUNT == account)
        .with_for_update(of=ACCOUNT_LEASE if not is_sqlite(connection) else None)
    )
    found = (await connection.execute(statement)).one_or_none()
    if found is None:
        return _Row("", 0, 0, 0, "")
    holder, epoch, expires_ms, now_ms, reason = found
    return _Row(holder, epoch, expires_ms, now_ms, reason or "")


async def halt(engine: AsyncEngine, reason: str) -> None:
    """Stop all trading of the fleet: no new order from now on, working ones are cancelled. Stays until `resume`."""
    async with writing(engine, bounded=True) as connection:
        await connection.execute(FLEET.delete().where(FLEET.c.NAME == _HALT))
        await connection.execute(FLEET.insert().values(NAME=_HALT, VALUE=(reason.strip() or "halted")[:500]))


async def resume(engine: AsyncEngine) -> bool:
    """End a halt; False if there was none."""
    async with writing(engine, bounded=True) as connection:
        result = await connection.execute(FLEET.delete().where(FLEET.c.NAME == _HALT))
    return result.rowcount == 1
