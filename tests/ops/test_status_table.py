"""What `fleet status` prints for people."""

import msgspec
from rich.console import Console

from ops import status_table
from tests.support.statuses import member, pair, refused, status

LONG = ("kucoin_classic", "futures", "1000PEPE/USDT")


def drawn(found, width: int | None = None) -> str:
    console = Console(width=width or 300, color_system=None)
    with console.capture() as captured:
        console.print(status_table.render(found, width))
    return captured.get()


def test_nothing_is_cut():
    text = drawn(status(members=2, pairs=4))
    assert "2 members, 4 of 5 pairs live, 1837 messages/s" in text
    assert f"leader {member(2).id} (term 7)" in text
    assert member(1).id in text
    assert "1763826000003" in text
    assert "the venue does not list FOO/USDT" in text


def test_the_leader_is_marked():
    [line] = [line for line in drawn(status()).splitlines() if line.startswith(member(2).id)]
    assert line.startswith(member(2).id + " *")


def test_an_idle_fleet_is_told_how_to_get_work():
    idle = msgspec.structs.replace(status(members=1), pairs=())
    assert "1 member, 0 of 0 pairs live" in drawn(idle)
    assert "fleet tasks add" in drawn(idle)
    assert "no leader" in drawn(idle)


def test_on_a_terminal_no_pair_is_cut_and_reasons_stand_below_each_once():
    halted = [pair(*LONG, number, reason="halted at the venue") for number in (1, 2)]
    found = msgspec.structs.replace(status(), pairs=(refused(), *halted))
    for width in (80, 120):
        text = drawn(found, width)
        lines = [line.rstrip() for line in text.splitlines()]
        assert max(map(len, lines)) <= width
        assert len([line for line in lines if line.startswith(f"{' '.join(LONG)}  live")]) == 2
        assert text.count("the venue does not list FOO/USDT") == 1
        assert text.count("halted at the venue") == 1
        assert "mexc spot FOO/USDT: the venue does not list FOO/USDT" in text
    assert "OWNER" not in drawn(found, 80)
    assert "OWNER" in drawn(found, 120)


def test_what_went_wrong_is_counted_in_every_width():
    troubled = pair(*LONG, gaps=11, resyncs=22, checksums=33)
    found = msgspec.structs.replace(status(), pairs=(troubled,))
    for width in (80, 120, None):
        [line] = [line for line in drawn(found, width).splitlines() if line.startswith(LONG[0])]
        assert [text for text in line.split() if text in {"11", "22", "33"}] == ["11", "22", "33"]


def test_seams_are_counted_where_there_is_room():
    found = msgspec.structs.replace(status(), pairs=(pair(*LONG, gaps=11, resyncs=22, checksums=33, seams=44),))
    for width in (120, None):
        head, line = [row for row in drawn(found, width).splitlines() if row.startswith(("PAIR", LONG[0]))]
        assert line[: head.index("SEAMS") + len("SEAMS")].endswith(" 44")
    assert "SEAMS" not in drawn(found, 80)


def test_of_many_pairs_with_one_reason_the_first_are_named():
    alike = tuple(pair("okx", "spot", f"C{number}/USDT", reason="halted") for number in range(30))
    text = " ".join(drawn(msgspec.structs.replace(status(), pairs=alike), 80).split())
    assert "okx spot C15/USDT and 22 more: halted" in text


def test_who_does_not_reach_a_venue_is_named_with_it():
    deaf = msgspec.structs.replace(member(1), deaf={"okx:futures": 34_000, "binance:spot": 12_000})
    found = msgspec.structs.replace(status(), members=(deaf, member(2)))
    for width in (80, None):
        text = " ".join(drawn(found, width).split())
        assert f"{deaf.id} has not reached binance spot for 12s, okx futures for 34s" in text
    assert "has not reached" not in drawn(status())
