"""Faults of workers: killed, stood still, stopped in order."""


from ops.chaos.result import Result
from ops.chaos.scale import Scale
from ops.chaos.scenario import Scenario
from ops.chaos.stage import staged

REOWNED_MS = 5000.0
LIVE_AGAIN_MS = 7000.0


async def kill_worker(scale: Scale, seed: int) -> Result:
    """SIGKILL a worker: its pairs are owned again within 5 s and live within 7 s; nobody else's pair is touched."""
    async with staged("kill-worker", scale, seed) as (fleet, result):
        await fleet.start()
        victim = fleet.any_owner()
        tokens, at_ms = fleet.tokens(fleet.owned_by(victim)), fleet.look_aside()
        others = [pair for pair in fleet.pairs if pair not in tokens]
        await victim.kill()
        taken = await fleet.wait_taken_over(tokens, victim, at_ms)
        result.measure("reowned_ms", taken.owned_ms, REOWNED_MS)
        result.measure("live_again_ms", taken.live_ms, LIVE_AGAIN_MS)
        await fleet.calm()
        for pair in others:
            if changes := fleet.watcher.changes(pair, at_ms):
                result.violations.append(f"{pair} was not the victim's, and its lease changed: {changes}")
    return result


SCENARIOS = (
    Scenario("kill-worker", 1, kill_worker),
)  # fmt: skip
