"""fleet/script_source.py."""

from importlib.resources import files

import pytest

from fleet.script_source import HeaderMismatchError, header_names, load_script
from fleet.scripts import SCRIPTS


def test_every_lua_file_has_a_typed_function() -> None:
    verbs = {path.name.removesuffix(".lua") for path in files("lua").iterdir() if path.name.endswith(".lua")}
    assert verbs == {script.name for script in SCRIPTS}


def test_a_signature_that_differs_from_the_header_is_refused_at_load() -> None:
    load_script("release", ("lease",), ("value",))
    with pytest.raises(HeaderMismatchError, match=r"lua/release.lua says ARGV value; fleet.scripts gives token"):
        load_script("release", ("lease",), ("token",))


def test_header_names_tell_order_and_repetition() -> None:
    header = "-- KEYS[1] tail  hash\n-- KEYS[2..] book  hash\n-- ARGV[1] ttl_ms  milliseconds\n"
    assert header_names(header, "KEYS") == ("tail", "book*")
    assert header_names(header, "ARGV") == ("ttl_ms",)


@pytest.mark.parametrize("header", ["-- KEYS[2] a  x\n", "-- KEYS[1..] a  x\n-- KEYS[2] b  x\n"])
def test_a_header_out_of_order_is_refused(header: str) -> None:
    with pytest.raises(HeaderMismatchError, match="out of order"):
        header_names(header, "KEYS")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_every_header_says_what_is_guaranteed_and_returned(script: object) -> None:
    text = script.text
    for part in (f"-- {script.name}: ", "-- Guarantee: ", "-- Returns"):
        assert part in text
