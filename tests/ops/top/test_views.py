"""What is drawn, as text: 80×24 and 120×40."""

import msgspec
import pytest
from rich.console import Console
from rich.screen import Screen as Whole

from ops.status import PairStatus
from ops.top.controls import press
from ops.top.state import Screen, State, changed
from ops.top.views import view
from tests.support.statuses import book, member, pair, refused, status

SIZES = [(80, 24), (120, 40)]


def drawn(state: State, width: int = 80, height: int = 24) -> list[str]:
    console = Console(width=width, height=height, color_system=None, force_terminal=True, legacy_windows=False)
    with console.capture() as captured:
        console.print(Whole(view(state, width, height)), end="")
    return [line.rstrip() for line in captured.get().split("\n")]


OVERVIEW = """\
fleet  2 members  4 of 5 pairs live  1837 msg/s                     15:40:12 UTC
#   MEMBER                  ROLES               PAIRS MSG/S  STALL  BEAT VERSION
1   host-1:4001             feed monitor trader    10   612  400ms 300ms 0.1.0
2*  host-2:4002             feed monitor trader    20  1225  800ms 300ms 0.1.0

PAIR                    OWN EPOCH STATUS    AGE MSG/S GAPS        BID        ASK
mexc spot FOO/USDT      -       - refused     -     0    0          -          -
binance fut BTC/USDT    1   …0002 live     74ms   7.4    2    65000.1    65000.2
binance spot BTC/USDT   1   …0000 live      0ms     0    0    65000.1    65000.2
okx fut BTC/USDT        2   …0003 live    111ms    11    0    65000.1    65000.2
okx spot BTC/USDT       2   …0001 live     37ms   3.7    1    65000.1    65000.2











1/5  mexc spot FOO/USDT: the venue does not list FOO/USDT             by trouble
q quit  ↑↓ select  enter book  s sort  r reverse  / filter  m members  ? help"""

LADDER = """\
fleet  2 members  4 of 5 pairs live  1837 msg/s                     15:40:12 UTC
binance spot BTC/USDT  live   3 bids, 3 asks   depth full
age 15ms   published 25ms ago   received 35ms ago   venue 45ms ago
sequence 55000   n 1763826000123   epoch 1763826000100   owner host-1:4001

spread 0.5 (0.08 bps)   mid 65000.25
               depth bid amount     bid     ask ask amount depth
               █████       1.50 65000.0 65000.5       2.00 ██████▋"""


def test_the_overview_at_80_by_24():
    assert "\n".join(drawn(State(status=status()))) == OVERVIEW


def test_the_ladder_at_80_by_24():
    lines = drawn(State(status=status(), book=book(), screen=Screen.BOOK, selected=book().pair))
    assert "\n".join(lines[:8]) == LADDER


@pytest.mark.parametrize(("width", "height"), [*SIZES, (60, 12), (200, 60)])
@pytest.mark.parametrize("screen", list(Screen))
@pytest.mark.parametrize("count", [0, 1, 300])
def test_every_screen_fills_exactly_its_size(width, height, screen, count):
    state = State(status=status(members=min(count, 40), pairs=count), screen=screen, book=book(), selected=book().pair)
    lines = drawn(state, width, height)
    assert len(lines) == height
    assert max(map(len, lines)) <= width
    assert "q quit" in lines[-1]


def test_owners_are_spelled_out_where_there_is_room():
    lines = drawn(State(status=status()), 120, 40)
    assert any(member(1).id in line and "live" in line for line in lines)
    assert any("1763826000002" in line for line in lines)


def test_the_selected_row_is_always_on_the_screen():
    state = State(status=status(pairs=20))
    for _ in range(25):
        state = press(state, "down")
        visible = state.visible()
        chosen = visible[state.position(visible)]
        lines = drawn(changed(state, filter=""))
        assert f"{state.position(visible) + 1}/{len(visible)}" in lines[-2]
        short = f"{chosen.venue} {'fut' if chosen.market == 'futures' else chosen.market} {chosen.pair}"
        assert any(line.startswith(short[:20]) for line in lines), chosen


LONG = ("kucoin_classic", "futures", "SIM024/USDT")
OFF = (
    "coinex spot is off by default: the venue announced its orderly cessation, by one source that quotes its notice; "
    "FLEET_VENUES__COINEX__SPOT__ENABLED=true uses it all the same"
)


def with_pairs(*pairs: PairStatus) -> State:
    return State(status=msgspec.structs.replace(status(), pairs=pairs))


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_two_pairs_with_long_names_can_be_told_apart(width, height):
    names = ["SIM024/USDT", "SIM025/USDT"]
    lines = drawn(
        with_pairs(*(pair(*LONG[:2], name) for name in names), pair("kucoin", "futures", names[0])), width, height
    )
    for name in names:
        assert len([line for line in lines if line.startswith(f"kucoin_classic fut {name} ")]) == 1
    assert len([line for line in lines if line.startswith("kucoin fut SIM024/USDT ")]) == 1
    assert any("65000.1" in line for line in lines)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_long_reason_of_the_selected_pair_is_told_to_its_end(width, height):
    lines = drawn(with_pairs(refused(), pair(*LONG, reason=OFF)), width, height)
    assert "COINEX" not in "".join(lines)
    state = press(with_pairs(refused(), pair(*LONG, reason=OFF)), "down")
    assert OFF in " ".join(" ".join(drawn(state, width, height)).split())


def test_a_long_reason_of_a_book_that_is_not_live_is_told_to_its_end():
    known = pair(*book().pair, status="refused", reason=OFF)
    lines = drawn(State(status=msgspec.structs.replace(status(), pairs=(known,)), book=book("missing"),
                        screen=Screen.BOOK, selected=book().pair))  # fmt: skip
    assert OFF in " ".join(" ".join(lines).split())


def test_resyncs_and_wrong_checksums_of_the_selected_pair_are_told():
    troubled = pair("coinex", "spot", "BTC/USDT", gaps=1, resyncs=2, checksums=3)
    told = drawn(with_pairs(troubled))[-2]
    assert "1 gaps   2 resyncs   3 wrong checksums" in told
    wide = drawn(with_pairs(troubled), 160, 40)
    assert any("RESYN SUMS" in line for line in wide)


def test_seams_are_told_of_the_selected_pair_and_have_a_column_where_there_is_room():
    moved = pair("okx", "spot", "BTC/USDT", seams=4)
    assert "4 seams" in drawn(with_pairs(moved))[-2]
    [head] = [line for line in drawn(with_pairs(moved), 180, 40) if "SUMS SEAMS" in line]
    [line] = [line for line in drawn(with_pairs(moved), 180, 40) if line.startswith("okx spot BTC/USDT ")]
    assert line[: head.index("SEAMS") + len("SEAMS")].endswith(" 4")


def test_a_crowd_of_members_leaves_room_for_the_pairs():
    lines = drawn(State(status=status(members=30)))
    assert any("and 27 more (press m)" in line for line in lines)
    assert any(line.startswith("okx spot BTC/USDT") for line in lines)


def test_an_error_is_a_page_and_the_keys_still_work():
    lines = drawn(State(status=status(), error="redis://x: connection refused; is redis-server running there?"))
    text = "\n".join(lines)
    assert "connection refused; is redis-server running there?" in text
    assert "The last good read was at 15:40:12 UTC. Trying again every second." in text
    assert "okx spot" not in text
    assert "q quit" in lines[-1]


def test_an_error_before_the_first_read_is_a_page_too():
    assert "Nothing was read so far." in "\n".join(drawn(State(error="no answer")))


@pytest.mark.parametrize("standing", ["stale", "resync", "missing"])
def test_levels_that_may_not_be_used_are_not_shown(standing):
    lines = drawn(State(status=status(), book=book(standing), screen=Screen.BOOK, selected=book().pair))
    text = "\n".join(lines)
    assert standing in text
    assert "64999.5" not in text


def test_an_empty_fleet_says_what_to_do():
    empty = changed(State(status=status(members=0, pairs=0)), filter="nothing like this")
    assert "esc drops the filter" in "\n".join(drawn(empty))
    bare = status(members=0)
    nobody = type(bare)(leader=None, term=None, now_ms=bare.now_ms, members=(), pairs=())
    assert "start one with `fleet up`" in "\n".join(drawn(State(status=nobody)))
    idle = type(bare)(leader=None, term=None, now_ms=bare.now_ms, members=(member(1),), pairs=())
    assert "fleet tasks add" in "\n".join(drawn(State(status=idle)))


def test_help_lists_every_key():
    text = "\n".join(drawn(State(status=status(), screen=Screen.HELP)))
    for words in ("look into the selected book", "sort by the next column", "quit", "back to the pairs"):
        assert words in text


def test_the_filter_is_seen_while_typed_and_after():
    typing = press(press(State(status=status()), "/"), "o")
    assert drawn(typing)[-1].startswith("filter: o▏")
    assert "filter: o " in drawn(press(typing, "enter"))[-2]


def test_a_member_that_does_not_reach_venues_says_so():
    deaf = msgspec.structs.replace(member(2), deaf={"okx:futures": 34_000, "binance:spot": 12_000})
    shown = drawn(State(status=msgspec.structs.replace(status(), members=(member(1), deaf))))
    assert [line.split()[1] for line in shown if "deaf to 2" in line] == ["host-2:4002"]
