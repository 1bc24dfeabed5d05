"""User text against what the program knows."""

import pytest

from fleet.errors import ConfigError
from fleet.pair import Pair
from ops.cli.arguments import known_pair, one_of


def test_case_and_blanks_are_mended():
    assert known_pair(" Binance", "SPOT", "btc/usdt ") == Pair("binance", "spot", "BTC/USDT")


def test_one_of_names_the_nearest_or_all():
    assert one_of("fruit", "pear", ["apple", "pear"]) == "pear"
    with pytest.raises(ConfigError, match=r"unknown fruit 'aple': did you mean apple\? known are apple, pear"):
        one_of("fruit", "aple", ["pear", "apple"])
    with pytest.raises(ConfigError, match="unknown fruit 'zzz': known are apple"):
        one_of("fruit", "zzz", ["apple"])
