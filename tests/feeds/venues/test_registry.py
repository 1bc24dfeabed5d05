"""The registry of venues: every name finds its venue, a wrong name finds the mend."""

import ast
from pathlib import Path

import pytest

import feeds.venues
from feeds.venues import VENUES, find, history, names
from fleet.errors import ConfigError
from fleet.pair import CHANNELS, DEPTHS, MARKETS


@pytest.mark.parametrize("venue, market", names())
def test_a_name_finds_its_venue(venue: str, market: str) -> None:
    found = find(venue, market)
    assert (found.name, found.market) == (venue, market)
    assert market in MARKETS
    replayed = history(venue, market).venue
    assert (replayed.name, replayed.market) == (venue, market)


@pytest.mark.parametrize("venue, market", names())
def test_a_venue_answers_for_every_depth(venue: str, market: str) -> None:
    for depth in DEPTHS:
        assert find(venue, market).book_channel(depth).rule.name


@pytest.mark.parametrize("venue, market", names())
def test_urls_have_no_trailing_slash(venue: str, market: str) -> None:
    found = find(venue, market)
    assert found.rest_url.startswith("https://")
    assert found.ws_url.startswith("wss://")
    assert not found.rest_url.endswith("/")
    assert not found.ws_url.endswith("/")


@pytest.mark.parametrize(
    "venue, market, mend",
    [
        ("binanse", "spot", "did you mean binance?"),
        ("OKX", "spot", "did you mean okx?"),
        ("nowhere-at-all", "spot", "expected one of binance, "),
        ("okx", "swap", "expected futures or spot"),
    ],
)
def test_a_wrong_name_is_an_error_that_names_the_mend(venue: str, market: str, mend: str) -> None:
    for look_up in (find, history):
        with pytest.raises(ConfigError, match=r"not known|market") as raised:
            look_up(venue, market)
        assert mend in str(raised.value)


def test_no_venue_imports_another() -> None:
    folder = Path(feeds.venues.__file__).parent
    known = {venue for venue, _ in VENUES}
    assert known <= {each.name for each in folder.iterdir()}
    for file in folder.glob("*/*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            for module in modules:
                other = module.removeprefix("feeds.venues.").partition(".")[0]
                assert other not in known - {file.parent.name}, f"{file.parent.name}/{file.name} imports {module}"


def test_channels_of_tasks_are_what_topics_understand() -> None:
    assert set(CHANNELS) == {"book", "bbo", "trades"}
