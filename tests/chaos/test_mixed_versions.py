"""The last released version and this one in one fleet: both serve, each reads the other, each takes over from the other."""

import asyncio
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from fleet import VERSION
from fleet.heartbeat import read_pair_states
from fleet.pair import Pair
from ops.chaos.child import DAEMON, ChaosDaemon
from ops.chaos.fleet import ChaosFleet
from ops.chaos.late import until
from ops.chaos.scale import SMALL as SMALLEST
from ops.chaos.stage import staged

REPOSITORY = Path(__file__).resolve().parents[2]
RELEASED = {"0.1.0": "4c4a326823f7484e97da5e7e0786b386dc09900d"}  # version → its commit, where the clone has no tag
LAST = "0.1.0"
COMMAND_S = 40
# who hears of a task first must leave the others time to hear of it too (a quarter lease)
SMALL = msgspec.structs.replace(SMALLEST, lease_ms=4000)
POLLING = {"FLEET_TASKS_POLL_MS": "200"}
MEMBERS_S = 2.0  # a daemon looks for the others once a second


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the last released version."""
    for revision in (f"v{LAST}", RELEASED[LAST]):
        archive = subprocess.run(
            ["git", "-C", REPOSITORY, "archive", "--format=tar", f"{revision}^{{commit}}"], capture_output=True
        )
        if archive.returncode == 0:
            folder = tmp_path_factory.mktemp("released")
            with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tree:
                tree.extractall(folder, filter="data")
            about = folder / f"fleet-{LAST}.dist-info"  # as installed: what is installed here is another version
            about.mkdir()
            (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fleet\nVersion: {LAST}\n")
            return folder
    pytest.skip(f"no history here: neither v{LAST} nor {RELEASED[LAST][:12]} is in this checkout (a source archive?)")


def older(environ: Mapping[str, str], released: Path) -> dict[str, str]:
    """The environment of a process of that version."""
    return {**environ, "PYTHONPATH": str(released)}


def start_older(fleet: ChaosFleet, released: Path) -> ChaosDaemon:
    """One daemon of that version. `-P`: the working directory, which is this tree, is not looked into."""
    command = (sys.executable, "-P", *DAEMON[1:])
    daemon = ChaosDaemon(len(fleet.daemons), older(fleet.environ, released), fleet.folder, command)
    daemon.start()
    fleet.daemons.append(daemon)
    return daemon


async def said(fleet: ChaosFleet, released: Path | None, *arguments: str) -> dict:
    """What `fleet …` of that version (None: of this one) prints as JSON."""
    environ = fleet.environ if released is None else older(fleet.environ, released)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "ops.cli", *arguments,
        env={"PYTHONPATH": str(REPOSITORY), **environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(COMMAND_S):
        out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return json.loads(out)


async def versions(fleet: ChaosFleet) -> dict[str, str]:
    """Every member's version."""
    return {name: member.version for name, member in (await fleet.members()).items()}


async def leading(fleet: ChaosFleet, daemon: ChaosDaemon) -> None:
    await daemon.introduced()
    await until(lambda: fleet.watcher.leader == daemon.identity, f"{daemon.name} to lead", SMALL.start_s)


async def prepare(fleet: ChaosFleet) -> None:
    """No evidence: grants that only some members note cannot be checked, the streams and what readers got are all the same.
    And nothing to do yet: who comes first would take it all."""
    fleet.environ.pop("FLEET_EVIDENCE_DIR", None)
    for pair in fleet.pairs:
        await fleet.tasks.remove_pair(pair)


async def with_tasks(fleet: ChaosFleet) -> None:
    """All daemons know each other; now there is work, and each has its share of it."""
    for daemon in fleet.daemons:
        await daemon.introduced()

    async def together() -> bool:
        return len(await fleet.members()) == len(fleet.daemons)

    await until(together, "all to be members", SMALL.settle_s)
    await asyncio.sleep(MEMBERS_S)
    await fleet.add_tasks(*fleet.pairs)
    await fleet.wait_live(SMALL.start_s)
    for daemon in fleet.daemons:
        assert fleet.owned_by(daemon), f"{daemon.name} owns nothing"


async def taken_over(fleet: ChaosFleet, victim: ChaosDaemon) -> set[str]:
    """Kill a daemon; who has its pairs now."""
    tokens, at = fleet.tokens(fleet.owned_by(victim)), fleet.look_aside()
    assert tokens, f"{victim.name} owns nothing that could be taken over"
    await victim.kill()
    await fleet.wait_taken_over(tokens, victim, at.mono_ms)
    await fleet.wait_live()
    return {fleet.watcher.owners[pair].holder or "" for pair in tokens}


def someones(fleet: ChaosFleet, daemon: ChaosDaemon) -> Pair:
    return fleet.owned_by(daemon)[0]


async def test_both_versions_serve_read_and_take_over_with_the_newer_one_leading(released: Path) -> None:
    async with staged("mixed-versions", SMALL, 11, environ=POLLING) as (fleet, result):
        await prepare(fleet)
        newer = [fleet.start_daemon()]
        await leading(fleet, newer[0])
        old = start_older(fleet, released)
        newer.append(fleet.start_daemon())
        await with_tasks(fleet)
        assert await versions(fleet) == {old.identity: LAST, **{one.identity: VERSION for one in newer}}

        at, owned = fleet.look_aside(), fleet.owned_by(old)
        await fleet.command(old, "drain")  # a word of the newer version
        await until(lambda: old.count("command 'drain' is not known"), "the older daemon to say so", SMALL.settle_s)
        await fleet.calm()
        moved = [pair for pair in owned if fleet.watcher.changes(pair, at.mono_ms)]
        assert not moved, "the newer leader left alone what the older daemon owns"

        for reader, owner in ((released, newer[0]), (None, old)):
            pair = someones(fleet, owner)
            book = await said(fleet, reader, "book", pair.venue, pair.market, pair.pair, "--json")
            assert book["status"] == "live", book
            status = await said(fleet, reader, "status", "--json")
            assert sorted(one["version"] for one in status["members"]) == sorted([LAST, VERSION, VERSION])
            assert {one["status"] for one in status["pairs"]} == {"live"}

        heirs = await taken_over(fleet, newer[1])
        assert heirs <= {old.identity, newer[0].identity}
        heirs = await taken_over(fleet, old)
        assert heirs == {newer[0].identity}
        assert await read_pair_states(fleet.redis, fleet.keys, newer[0].identity)
    assert not result.violations, "\n".join([*result.violations, result.last_words])


async def test_an_older_leader_does_no_harm_and_takes_over_from_the_newer(released: Path) -> None:
    async with staged("mixed-versions-older-leads", SMALL, 12, environ=POLLING) as (fleet, result):
        await prepare(fleet)
        old = start_older(fleet, released)
        await leading(fleet, old)
        newer = [fleet.start_daemon(), fleet.start_daemon()]
        await with_tasks(fleet)
        at = fleet.look_aside()
        await fleet.calm()
        assert not fleet.watcher.not_live_ms(fleet.pairs, at.mono_ms, at.mono_ms + SMALL.calm_s * 1000)
        assert fleet.watcher.leader == old.identity
        await taken_over(fleet, newer[1])
        assert await taken_over(fleet, newer[0]) == {old.identity}
    assert not result.violations, "\n".join([*result.violations, result.last_words])
