"""`fleet drain`: take the pairs off one daemon, each without a gap; the process stays."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from fleet.errors import ConfigError, FleetError, NotFound
from ops.cli import output, session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet.config import Settings
    from fleet.heartbeat import MemberRecord

OBEYS_WITHIN_S = 15.0  # a beat, and what a slow machine adds
LOOK_EVERY_S = 0.2
NAMED = 5  # members listed in an error

Member = Annotated[
    str, typer.Argument(metavar="MEMBER", help="its id in `fleet status`, or the beginning of it", show_default=False)
]


def drain(
    member: Member,
    undo: Annotated[bool, typer.Option("--undo", help="let it take work again")] = False,
) -> None:
    """Move all pairs of a daemon to others and wait until it owns none. Ctrl-C ends the waiting, not the drain."""
    known = session.settings()
    try:
        session.run(_undrain(known, member) if undo else _drain(known, member))
    except KeyboardInterrupt:
        output.note(
            f"not waited for; it goes on as asked. To change that: fleet drain {member}{'' if undo else ' --undo'}"
        )
        raise


async def _drain(known: "Settings", text: str) -> None:
    from fleet.heartbeat import read_members, send_command

    async with session.fleet_session(known) as fleet:
        members = await read_members(fleet.redis, fleet.keys)
        chosen = find_member(members, text)
        _check_can_drain(chosen, members)
        await send_command(fleet.redis, fleet.keys, chosen.id, "drain")
        told, left = "", OBEYS_WITHIN_S
        while True:
            members = await read_members(fleet.redis, fleet.keys)
            now = next((one for one in members if one.id == chosen.id), None)
            if now is None:
                output.line(f"{chosen.id} is gone")
                return
            if now.quiet and not now.pairs:
                output.line(f"{chosen.id} owns no pairs and takes none; to undo: fleet drain {chosen.id} --undo")
                return
            if not now.quiet and (left := left - LOOK_EVERY_S) <= 0:
                raise FleetError(f"{chosen.id} does not drain: it beats, and did not take the command; see its log")
            if now.quiet and (line := f"{chosen.id}: {now.pairs} {'pair' if now.pairs == 1 else 'pairs'} left") != told:
                output.note(line)
                told = line
            await asyncio.sleep(LOOK_EVERY_S)


async def _undrain(known: "Settings", text: str) -> None:
    from fleet.heartbeat import read_members, send_command

    async with session.fleet_session(known) as fleet:
        chosen = find_member(await read_members(fleet.redis, fleet.keys), text)
        await send_command(fleet.redis, fleet.keys, chosen.id, "undrain")
        left = OBEYS_WITHIN_S
        while left > 0:
            now = next((one for one in await read_members(fleet.redis, fleet.keys) if one.id == chosen.id), None)
            if now is None:
                raise NotFound(f"{chosen.id} is gone: nothing to undo")
            if not now.quiet:
                output.line(f"{chosen.id} takes work")
                return
            left -= LOOK_EVERY_S
            await asyncio.sleep(LOOK_EVERY_S)
        raise FleetError(f"{chosen.id} still takes no work: is it stopping? See its log")


def find_member(members: "Sequence[MemberRecord]", text: str) -> "MemberRecord":
    """The member whose id is `text`, or the only one whose id begins so. Raises NotFound, ConfigError."""
    found = [member for member in members if member.id == text] or [
        member for member in members if text and member.id.startswith(text)
    ]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(member.id for member in (found or members)[:NAMED])
    more = f" and {len(found or members) - NAMED} more" if len(found or members) > NAMED else ""
    if found:
        raise ConfigError(f"{text!r} is the beginning of {len(found)} members: {listed}{more}; give more of the id")
    raise NotFound(f"no member {text!r}: " + (f"there are {listed}{more}" if members else "no daemon is running"))


def _check_can_drain(chosen: "MemberRecord", members: "Sequence[MemberRecord]") -> None:
    from fleet.replan import takes_pairs
    from fleet.serving import plan_member

    if chosen.plans == 0:
        raise FleetError(
            f"{chosen.id} is of version {chosen.version}, which cannot drain: stop it, its pairs go to others"
        )
    others = [one for one in members if one.id != chosen.id and "feed" in one.roles and takes_pairs(plan_member(one))]
    if chosen.pairs and not others:
        raise FleetError(
            f"no other daemon takes pairs: the {chosen.pairs} of {chosen.id} have nowhere to go; start one first"
        )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(drain)
