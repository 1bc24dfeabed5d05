"""The picture of `fleet top`."""

import re
from xml.etree import ElementTree

from ops.pictures.top import PICTURE, picture
from ops.status import FleetStatus
from tests.support.statuses import status

MOST_BYTES = 150_000


def text_of(svg: str) -> str:
    return " ".join("".join(ElementTree.fromstring(svg).itertext()).replace("\xa0", " ").split())


def foreign(svg: str) -> list[str]:
    """What a viewer would have to fetch."""
    return re.findall(r"(?:url\(|href=|src=)\s*[\"']?(https?:[^\"')\s]+)", svg)


def test_the_picture_shows_the_fleet_and_needs_nothing_else():
    svg = picture(status())
    assert "BTC/USDT" in text_of(svg)
    assert foreign(svg) == []


def test_a_fleet_that_is_empty_can_be_drawn():
    empty = FleetStatus(leader=None, term=None, now_ms=0, members=(), pairs=())
    assert "no daemon is running" in text_of(picture(empty))


def test_the_picture_of_the_readme_is_small_whole_and_of_a_fleet_that_lives():
    svg = PICTURE.read_text()
    assert len(svg.encode()) < MOST_BYTES
    assert foreign(svg) == []
    assert re.search(r"2 members (\d+) of \1 pairs live", text_of(svg))
