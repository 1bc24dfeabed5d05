"""`python -m ops.simulator [VENUE…]`: the simulator alone; `fleet sim` is the same with the fleet's settings."""

import argparse
import asyncio
import signal
import sys

from fleet.errors import FleetError
from ops.simulator.registry import VENUE_MARKETS
from ops.simulator.simulator import serve


def main() -> int:
    """Serve until SIGTERM or SIGINT; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ops.simulator", description="Simulated venues on loopback.")
    parser.add_argument("venues", nargs="*", metavar="VENUE", help="binance, okx, or binance:futures; all by default")
    parser.add_argument("--pairs", type=int, default=20, help="trading pairs of each venue-market (default 20)")
    parser.add_argument("--rate", type=float, default=5.0, help="book changes a second and pair (default 5)")
    parser.add_argument("--seed", type=int, default=7, help="the same seed, the same markets (default 7)")
    parser.add_argument("--port", type=int, default=0, help="first port; 0 = any free ports (default)")
    options = parser.parse_args()
    chosen = [key for key in VENUE_MARKETS if not options.venues or {key[0], ":".join(key)} & set(options.venues)]
    if not chosen:
        parser.error(
            f"no simulator for {' '.join(options.venues)}; there are: {', '.join(map(':'.join, VENUE_MARKETS))}"
        )
    try:
        asyncio.run(_run(chosen, options))
    except FleetError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


async def _run(chosen: list[tuple[str, str]], options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(chosen, pairs=options.pairs, rate=options.rate, seed=options.seed, port=options.port, stop=stop)


if __name__ == "__main__":
    sys.exit(main())
