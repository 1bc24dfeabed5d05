"""The tour leads past every file, once."""

from ops.architecture import ROOT, source
from ops.reference import file_line
from ops.tour import TOUR

LAYERS = ("fleet", "books", "feeds", "monitor", "trader", "ops", "lua")


def test_the_tour_leads_past_every_file_once() -> None:
    stops = [source(stop.folder, name) for stop in TOUR for name in stop.files.split()]
    assert len(stops) == len(set(stops))
    there = {
        path.relative_to(ROOT)
        for layer in LAYERS
        for path in (ROOT / layer).rglob("*")
        if path.suffix in {".py", ".lua"} and path.name != "__init__.py"
    }
    assert set(stops) == there, "ops/tour.py: put new files where a newcomer should read them"


def test_every_file_says_in_its_first_line_what_it_is() -> None:
    for stop in TOUR:
        for name in stop.files.split():
            path = source(stop.folder, name)
            assert file_line((ROOT / path).read_text(), path.suffix), path
