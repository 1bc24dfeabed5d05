"""What is done to a fleet: `async def NAME(scale, seed) -> Result`, listed in its module's SCENARIOS; ops.chaos.registry."""
