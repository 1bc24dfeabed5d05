"""PURE. A plan as members are told it: a text for each member, and a head that names the revision of every text."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from fleet.plan import Order, Plan


class MemberPlan(NamedTuple):
    """What the plan asks of one member: label → (planned owner, first heir, second heir). An empty order: no place, let go.

    `revision` changes only when these orders do; empty (with no orders and term 0) when there is no plan.
    """

    revision: str
    term: int
    orders: Mapping[str, Order]


class PlanHead(NamedTuple):
    """Of the plan that counts.

    revision       of the plan as a whole: `term-number`
    written_ms     Unix ms, by the leader's clock
    why            what it was made for
    rebalanced     revision of the last plan that an operator asked for, empty: none
    members        member → revision of its orders
    """

    term: int
    revision: str
    written_ms: int
    why: str
    placed: int
    unplaced: int
    moved: int
    rebalanced: str
    members: Mapping[str, str]


class StoredPlan(NamedTuple):
    """A whole plan. `told`: member → its orders; who is named in the head and not here has lost them, or has others."""

    head: PlanHead
    orders: Mapping[str, Order]
    told: Mapping[str, MemberPlan]


class Edition(NamedTuple):
    """A plan ready to be written. `texts`: of the members whose orders changed. `gone`: members that lose theirs."""

    stored: StoredPlan
    texts: Mapping[str, str]
    gone: Sequence[str]


class _Text(msgspec.Struct, frozen=True):
    """A member's text: names once, orders as indices into them."""

    revision: str
    names: list[str]
    orders: dict[str, list[int]]


_decode = msgspec.json.Decoder(_Text).decode


def orders_text(revision: str, orders: Mapping[str, Order]) -> str:
    """The text of one member's orders."""
    names = sorted({name for order in orders.values() for name in order})
    index = {name: number for number, name in enumerate(names)}
    rows = {label: [index[name] for name in order] for label, order in orders.items()}
    return msgspec.json.encode(_Text(revision, names, rows)).decode()


def parse_orders(text: str | bytes) -> tuple[str, dict[str, Order]]:
    """Undo `orders_text`: revision and orders. Raises msgspec.DecodeError."""
    found = _decode(text)
    names = found.names
    return found.revision, {label: tuple([names[index] for index in row]) for label, row in found.orders.items()}


def orders_by_member(orders: Mapping[str, Order], serving: Mapping[str, str]) -> dict[str, dict[str, Order]]:
    """What each member is told: every pair whose order names it, and every pair that it serves now (label → owner)."""
    found: dict[str, dict[str, Order]] = {}
    for label, order in orders.items():
        for name in order:
            found.setdefault(name, {})[label] = order
    for label, owner in serving.items():
        found.setdefault(owner, {}).setdefault(label, orders.get(label, ()))
    return found


def next_edition(
    plan: Plan,
    before: StoredPlan | None,
    *,
    term: int,
    now_ms: int,
    why: str,
    asked: bool,
    followers: Sequence[str],
    serving: Mapping[str, str],
) -> Edition:
    """What to write so that `plan` follows `before`.

    `followers`: living members that follow plans, all of them are named; `serving`: of wanted pairs, label → owner.
    `asked`: an operator waits for this one.
    """
    number = int(before.head.revision.rpartition("-")[2]) + 1 if before and before.head.term == term else 1
    revision = f"{term}-{number}"
    by_member = orders_by_member(plan.orders, serving)
    told: dict[str, MemberPlan] = {}
    texts: dict[str, str] = {}
    for name in followers:
        orders = by_member.get(name, {})
        known = before.told.get(name) if before else None
        if known is not None and known.orders == orders:
            told[name] = known
        else:
            told[name] = MemberPlan(revision, term, orders)
            texts[name] = orders_text(revision, orders)
    head = PlanHead(
        term=term,
        revision=revision,
        written_ms=now_ms,
        why=why,
        placed=len(plan.orders),
        unplaced=len(plan.unplaced),
        moved=len(plan.moves),
        rebalanced=revision if asked else before.head.rebalanced if before else "",
        members={name: one.revision for name, one in told.items()},
    )
    gone = sorted(set(before.head.members).difference(told)) if before else []
    return Edition(StoredPlan(head, plan.orders, told), texts, gone)
