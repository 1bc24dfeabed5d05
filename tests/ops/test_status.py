"""The read model."""

from ops.status import FleetStatus, MemberStatus, PairStatus

MEMBER = MemberStatus(
    id="host:1:aa", host="host", pid=1, roles=("feed",), pairs=2, rate=10.5, loop_stall_ms=1.0, version="1",
    beat_age_ms=3,
)  # fmt: skip


def pair(name: str, status: str) -> PairStatus:
    return PairStatus(
        venue="okx", market="spot", pair=name, owner="host:1:aa", epoch=5, status=status, sequence=7, age_ms=1,
        rate=2.0, gaps=0,
    )  # fmt: skip


def test_json_has_the_keys_of_the_contract():
    shown = FleetStatus(leader="host:1:aa", term=3, now_ms=9, members=(MEMBER,), pairs=(pair("A/B", "live"),)).to_json()
    assert {"leader", "term", "members", "pairs"} <= shown.keys()
    assert {"id", "host", "pid", "roles", "pairs", "rate", "loop_stall_ms", "version"} <= shown["members"][0].keys()
    assert {
        *("venue", "market", "pair", "owner", "epoch", "status", "sequence", "age_ms", "rate", "gaps", "reason")
    } <= shown["pairs"][0].keys()
    assert shown["members"][0]["roles"] in (["feed"], ("feed",))


def test_sums_count_only_what_is_live():
    status = FleetStatus(
        leader=None, term=None, now_ms=9, members=(MEMBER, MEMBER), pairs=(pair("A/B", "live"), pair("C/D", "stale"))
    )
    assert status.live_pairs == 1
    assert status.rate == 21.0
    assert status.find(pair("C/D", "live").key).status == "stale"
    assert status.find(pair("E/F", "live").key) is None


def test_trouble_comes_before_what_is_well():
    order = ["refused", "missing", "stale", "waiting", "resync", "something new", "live"]
    shuffled = [order[i] for i in (5, 2, 6, 0, 4, 1, 3)]
    assert sorted(shuffled, key=lambda status: pair("A/B", status).trouble) == order
