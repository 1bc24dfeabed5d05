"""Rules about the files themselves: sizes, headers, names that must not occur where."""

import os
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PRODUCTION = ("fleet", "books", "feeds", "monitor", "trader", "ops", "lua")

LINE_LIMIT = 400
# path: (lines allowed, why it is one file). An exception that is no longer needed fails, so the list only shrinks.
LONG_FILES: dict[str, tuple[int, str]] = {}

VENUES = re.compile("binance|bybit|okx|kucoin|coinex|htx|huobi|mexc|hyperliquid", re.IGNORECASE)
LUA_HEADER_ALWAYS = ("Guarantee", "Returns")
LUA_HEADER_IF_USED = ("KEYS", "ARGV")

# Written in parts, so that this file does not find itself.
HOME_FOLDERS = ("work", "home", "root", "Users")
ABSOLUTE_PATH = re.compile(r"(?<![\w.])/(?:" + "|".join(HOME_FOLDERS) + r")/")
NOT_OURS = {"__pycache__", "node_modules", "dist", "build", "var"}
DOT_FOLDERS_OF_OURS = {".ci", ".github"}


def production_files(*suffixes: str) -> list[Path]:
    """Modules and scripts that users run, relative to the repository."""
    found = [
        path for package in PRODUCTION for suffix in suffixes for path in (REPOSITORY / package).rglob(f"*{suffix}")
    ]
    assert found, "the packages have moved: PRODUCTION is out of date"
    return sorted(path.relative_to(REPOSITORY) for path in found)


def files_of_the_repository() -> list[Path]:
    """Every file that could be committed."""
    found = []
    for folder, subfolders, names in os.walk(REPOSITORY):
        subfolders[:] = [
            name
            for name in subfolders
            if name not in NOT_OURS
            and not name.endswith(".egg-info")
            and (not name.startswith(".") or name in DOT_FOLDERS_OF_OURS)
        ]
        found += [Path(folder, name) for name in names]
    return sorted(found)


def lua_header(text: str) -> str:
    """The comment that opens a Lua file."""
    lines = text.splitlines()
    end = next((number for number, line in enumerate(lines) if not line.startswith("--")), len(lines))
    return "\n".join(lines[:end])


def absent_in_lua_header(text: str) -> list[str]:
    """What the opening comment ought to explain and does not."""
    header = lua_header(text)
    code = text[len(header) :]
    expected = [*LUA_HEADER_ALWAYS, *(word for word in LUA_HEADER_IF_USED if re.search(rf"\b{word}\b", code))]
    return [word for word in expected if not re.search(rf"\b{word}\b", header)]


def test_no_production_file_is_too_long_to_read():
    lengths = {str(path): len((REPOSITORY / path).read_text().splitlines()) for path in production_files(".py", ".lua")}
    too_long = {
        path: length
        for path, length in lengths.items()
        if length >= LINE_LIMIT and length > LONG_FILES.get(path, (0, ""))[0]
    }
    assert not too_long, f"files of {LINE_LIMIT} lines or more do more than one thing; split them: {too_long}"


def test_an_exception_to_the_length_is_still_needed():
    for path in LONG_FILES:
        length = len((REPOSITORY / path).read_text().splitlines())
        assert length >= LINE_LIMIT, f"{path} is down to {length} lines: take it off LONG_FILES"


def test_every_lua_verb_says_what_it_promises_takes_and_answers():
    scripts = {path.name: absent_in_lua_header(path.read_text()) for path in (REPOSITORY / "lua").glob("*.lua")}
    assert scripts, "the scripts have moved"
    incomplete = {name: absent for name, absent in scripts.items() if absent}
    assert not incomplete, f"the comment at the head of these scripts lacks: {incomplete}"


def test_general_feed_code_names_no_venue():
    named = []
    for path in production_files(".py"):
        if path.parts[0] != "feeds" or path.parts[1] == "venues" or path.parts[1].startswith("replay"):
            continue
        for number, line in enumerate((REPOSITORY / path).read_text().splitlines(), start=1):
            if VENUES.search(line):
                named.append(f"{path}:{number}: {line.strip()}")
    assert not named, "what is special about a venue belongs into feeds/venues/:\n" + "\n".join(named)


def test_no_file_knows_a_path_of_somebodys_machine():
    found = []
    for path in files_of_the_repository():
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue  # binary data
        found += [
            f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()[:120]}"
            for number, line in enumerate(lines, start=1)
            if ABSOLUTE_PATH.search(line)
        ]
    assert not found, "these paths exist on one machine only:\n" + "\n".join(found)


@pytest.mark.parametrize("folder", HOME_FOLDERS)
def test_an_absolute_path_would_be_found(folder):
    assert ABSOLUTE_PATH.search(f"cd /{folder}/me")
    assert not ABSOLUTE_PATH.search(f"https://example.org/{folder}/me")


@pytest.mark.parametrize(
    "text, absent",
    [
        ("-- Guarantee: all\n-- KEYS[1] tail\n-- Returns 1\nreturn KEYS[1]", []),
        ("-- Guarantee: all\n-- Returns 1\nreturn KEYS[1] -- ARGV[1]", ["KEYS", "ARGV"]),
        ("-- KEYS[1] tail\nlocal a = KEYS[1]\n-- Guarantee: too late\n-- Returns 1", ["Guarantee", "Returns"]),
    ],
)
def test_what_a_lua_header_lacks_is_found(text, absent):
    assert absent_in_lua_header(text) == absent


def test_scripts_can_be_run():
    scripts = [*(REPOSITORY / "ops" / "setup").glob("*.sh"), REPOSITORY / ".ci" / "run"]
    assert len(scripts) >= 3
    assert [str(script) for script in scripts if not os.access(script, os.X_OK)] == []
