"""`python -m ops.pictures.top`: ops/pictures/top.svg made anew, from the fleet that FLEET_REDIS_URL names.

The picture of the README is of `fleet demo`, whose Redis is found by its redis.conf:

    mkdir -p var && TMPDIR=$PWD/var fleet demo --seconds 90 &
    sleep 45
    export FLEET_REDIS_URL=redis://127.0.0.1:$(sed -n 's/^port //p' var/fleet-demo-*/redis/redis.conf)/0
    python -m ops.pictures.top
"""

import asyncio
import io
import re
from pathlib import Path

from rich.console import Console
from rich.screen import Screen

from fleet import config
from fleet.keys import Keys
from fleet.layout import read_layout
from fleet.redis_connection import connect
from ops.observer import Observer
from ops.status import FleetStatus
from ops.top.state import State
from ops.top.views import view

PICTURE = Path(__file__).with_name("top.svg")
WIDTH, HEIGHT = 100, 28
# rich names a font on a CDN: the picture shall need nothing but itself.
_FOREIGN_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def picture(status: FleetStatus, width: int = WIDTH, height: int = HEIGHT) -> str:
    """PURE. What `fleet top` shows of a fleet, as SVG."""
    console = Console(
        record=True, width=width, height=height, file=io.StringIO(), force_terminal=True, color_system="truecolor",
        highlight=False, legacy_windows=False,
    )  # fmt: skip
    console.print(Screen(view(State(status=status), width, height)), end="")
    return _FOREIGN_FONT.sub("", console.export_svg(title="fleet top", unique_id="top"))


async def _observe() -> FleetStatus:
    known = config.load()
    client = connect(known, name="fleet-picture")
    try:
        layout = await read_layout(client, Keys(known.namespace))
        keys = Keys(known.namespace, layout.shards if layout else known.shards)
        return await Observer(client, keys).observe()
    finally:
        await client.aclose()


def main() -> None:
    """Write the picture."""
    PICTURE.write_text(picture(asyncio.run(_observe())))


if __name__ == "__main__":
    main()
