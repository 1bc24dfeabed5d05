"""What `fleet status` prints for people."""

import msgspec
from rich.console import Console

from ops import status_table
from tests.support.statuses import member, status


def drawn(found) -> str:
    console = Console(width=300, color_system=None)
    with console.capture() as captured:
        console.print(status_table.render(found))
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
