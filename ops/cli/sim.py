"""`fleet sim`: simulated venues on loopback."""

from typing import Annotated

import typer

from fleet.errors import ConfigError
from ops.cli import session
from ops.cli.arguments import one_of

LAST_PORT = 65535

Venues = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[VENUE…]",
        help="such as binance, or binance:futures; default: every venue there is",
        show_default=False,
    ),
]


def sim(
    venues: Venues = None,
    pairs: Annotated[int, typer.Option("--pairs", min=1, metavar="N", help="trading pairs of each market")] = 20,
    rate: Annotated[float, typer.Option("--rate", metavar="R", help="book changes a second and pair")] = 5.0,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="the same seed, the same markets")] = 7,
    port: Annotated[
        int,
        typer.Option(
            "--port", min=0, max=65535, metavar="P", help="first of consecutive ports, one a market; 0: any free ones"
        ),
    ] = 0,
) -> None:
    """Serve simulated venues until SIGTERM.

    The first line on stdout is JSON: [{"venue", "market", "rest_url", "ws_url"}, …]. Daemons use them by
    FLEET_VENUES__VENUE__MARKET__REST_URL and …__WS_URL; a market that is off by default also needs …__ENABLED=true.
    """
    session.settings()
    chosen = _chosen(venues or [])
    if port + len(chosen) - 1 > LAST_PORT:
        raise ConfigError(
            f"--port {port}: {len(chosen)} markets need as many ports; at most {LAST_PORT + 1 - len(chosen)}"
        )
    session.run(_serve(chosen, pairs=pairs, rate=rate, seed=seed, port=port))


def _chosen(names: list[str]) -> list[tuple[str, str]]:
    """The venue × markets meant by VENUE or VENUE:MARKET; all when there are none. Raises ConfigError."""
    from ops.simulator.registry import VENUE_MARKETS

    spelled = {name: [each for each in VENUE_MARKETS if name in {each[0], ":".join(each)}] for name in names}
    known = {each[0] for each in VENUE_MARKETS} | {":".join(each) for each in VENUE_MARKETS}
    for name in names:
        one_of("simulated venue", name, known)
    wanted = {each for some in spelled.values() for each in some}
    return [each for each in VENUE_MARKETS if not names or each in wanted]


async def _serve(chosen: list[tuple[str, str]], *, pairs: int, rate: float, seed: int, port: int) -> None:
    import asyncio
    import signal

    from ops.simulator import serve

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(chosen, pairs=pairs, rate=rate, seed=seed, port=port, stop=stop)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sim)
