"""Replays: what a file may hold, the command, and negative controls: the checks must be able to fail."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from books.events import Delta, Event, Reset, ResetReason, Snapshot
from feeds.recording import Recorded
from feeds.replay import load, main
from feeds.venue import Unused
from fleet.errors import ConfigError
from tests.support.replays import BTC, ETH, other_files, replay_of, snapshot_files, venue_of

# --- negative controls: the checks must be able to fail --------------------------------------------------------------------


@pytest.fixture(scope="module")
def futures_frames(recorded: Path) -> list[bytes]:
    """The first 2,000 lines of the ETHUSDT futures recording: snapshot in line 41."""
    return (recorded / ETH).read_bytes().splitlines()[:2000]


@pytest.fixture(scope="module")
def spot_frames(recorded: Path) -> list[bytes]:
    """The first 2,000 lines of the BTCUSDT spot recording: snapshot in line 8."""
    return (recorded / BTC).read_bytes().splitlines()[:2000]


def depth_lines(frames: list[bytes]) -> list[int]:
    return [index for index, frame in enumerate(frames) if b"@depth@" in frame[:40]]


@pytest.mark.parametrize("market", ["spot", "futures"])
def test_a_dropped_binance_delta_is_exactly_one_gap(
    market: str, spot_frames: list[bytes], futures_frames: list[bytes]
) -> None:
    frames = spot_frames if market == "spot" else futures_frames
    assert replay_of("binance", market, frames).run().gaps == 0
    dropped = depth_lines(frames)[100]
    replay = replay_of("binance", market, frames[:dropped] + frames[dropped + 1 :])
    events: list[Event] = []
    replay.on_event = events.append
    result = replay.run()
    assert result.gaps == 1
    assert [event.reason for event in events if isinstance(event, Reset)] == [ResetReason.GAP]
    (pair,) = result.pairs.values()
    assert (pair.live, pair.sequence, pair.bids, pair.asks) == (False, None, [], [])


@pytest.mark.parametrize("market", ["spot", "futures"])
def test_swapped_binance_deltas_are_a_gap(market: str, spot_frames: list[bytes], futures_frames: list[bytes]) -> None:
    frames = list(spot_frames if market == "spot" else futures_frames)
    one, two = depth_lines(frames)[100:102]
    frames[one], frames[two] = frames[two], frames[one]
    assert replay_of("binance", market, frames).run().gaps >= 1


@pytest.mark.parametrize("market", ["spot", "futures"])
def test_a_repeated_binance_delta_changes_nothing(
    market: str, spot_frames: list[bytes], futures_frames: list[bytes]
) -> None:
    frames = spot_frames if market == "spot" else futures_frames
    again = depth_lines(frames)[100]
    result = replay_of("binance", market, frames[: again + 1] + frames[again:]).run()
    assert result.gaps == 0
    assert result.pairs == replay_of("binance", market, frames).run().pairs


def test_a_byte_that_broke_is_undecodable_and_then_a_gap(spot_frames: list[bytes]) -> None:
    frames = list(spot_frames)
    broken = depth_lines(frames)[100]
    frames[broken] = frames[broken].replace(b'"u":', b'"u";', 1)
    result = replay_of("binance", "spot", frames).run()
    assert (result.undecodable, result.gaps) == (1, 1)
    assert len(result.undecodable_reasons) == 1


def test_a_book_that_lost_its_chain_is_whole_again_after_the_next_snapshot(spot_frames: list[bytes]) -> None:
    """A snapshot made from our own book at a known id, put behind the gap: what REST would have answered."""
    whole = replay_of("binance", "spot", spot_frames).run()
    depths = depth_lines(spot_frames)
    until = replay_of("binance", "spot", spot_frames[: depths[110] + 1])
    until.run()
    (feed,) = until.session.feeds.values()
    bids, asks = feed.book.top()
    answer = json.dumps({"lastUpdateId": feed.sequence, "bids": bids, "asks": asks}).encode()
    frames = [*spot_frames[: depths[120]], answer, *spot_frames[depths[120] :]]
    del frames[depths[100]]
    result = replay_of("binance", "spot", frames).run()
    assert result.gaps == 1
    assert result.pairs["BTCUSDT"].live
    assert (result.pairs["BTCUSDT"].bids, result.pairs["BTCUSDT"].asks) == (
        whole.pairs["BTCUSDT"].bids,
        whole.pairs["BTCUSDT"].asks,
    )


def test_a_snapshot_that_is_older_than_the_kept_deltas_is_not_spliced(spot_frames: list[bytes]) -> None:
    frames = list(spot_frames)
    snapshot = next(index for index, frame in enumerate(frames) if b"lastUpdateId" in frame[:20])
    frames[snapshot] = frames[snapshot].replace(b'{"lastUpdateId":50093239218', b'{"lastUpdateId":50093239000')
    (pair,) = replay_of("binance", "spot", frames).run().pairs.values()
    assert not pair.live


def test_a_crossed_book_is_counted_and_not_shown(spot_frames: list[bytes]) -> None:
    frames = list(spot_frames)
    crossing = depth_lines(frames)[100]
    frames[crossing] = frames[crossing].replace(b'"b":[', b'"b":[["99999.00000000","1.00000000"],', 1)
    result = replay_of("binance", "spot", frames).run()
    assert result.crossed == 1
    assert not result.pairs["BTCUSDT"].live


def test_a_dropped_okx_delta_is_exactly_one_gap_until_the_next_snapshot(recorded: Path) -> None:
    frames = (recorded / "okx/spot/derived_seqid_cf202202_session_ws.jsonl").read_bytes().splitlines()
    own = [index for index, frame in enumerate(frames) if b'"ELON-USDT"' in frame and b'"action"' in frame]
    snapshots = [index for index in own if b'"snapshot"' in frames[index]]
    dropped = own[len(own) // 2]
    left = frames[:dropped] + frames[dropped + 1 :]
    result = replay_of("okx", "spot", left).run()
    assert (result.gaps, result.pairs["ELON-USDT"].gaps) == (1, 1)
    assert (result.pairs["ELON-USDT"].live, result.pairs["ELON-USDT"].bids) == (False, [])
    assert result.pairs["ZEN-USDT"].live
    again = frames[snapshots[1]]  # what subscribing anew would bring
    result = replay_of("okx", "spot", [*left, again]).run()
    assert result.gaps == 1
    assert result.pairs["ELON-USDT"].live
    assert result.pairs["ELON-USDT"].sequence == json.loads(again)["data"][0]["seqId"]


def test_a_dropped_okx_delta_of_2022_makes_checksums_wrong(recorded: Path) -> None:
    frames = (recorded / "okx/spot/cf202205_session_ws.jsonl").read_bytes().splitlines()
    updates = [index for index, frame in enumerate(frames) if b'"update"' in frame]
    dropped = updates[40]
    result = replay_of("okx", "spot", frames[:dropped] + frames[dropped + 1 :]).run()
    assert result.checksum_failures > 0
    assert result.undecodable == 0


# --- what a file may hold -----------------------------------------------------------------------------------------------


def test_a_snapshot_line_among_several_books_belongs_to_nobody() -> None:
    diff = '{{"stream":"{}@depth","data":{{"e":"depthUpdate","E":1,"s":"{}","U":2,"u":3,"b":[["1","1"]],"a":[]}}}}'
    frames = [
        diff.format("aaausdt", "AAAUSDT").encode(),
        diff.format("bbbusdt", "BBBUSDT").encode(),
        b'{"lastUpdateId":2,"bids":[],"asks":[]}',
    ]
    result = replay_of("binance", "spot", frames).run()
    assert result.refused_reasons == {"snapshot that names no symbol, in a file that has not exactly one book": 1}
    assert not any(pair.live for pair in result.pairs.values())


def test_a_book_has_one_topic_and_others_are_named() -> None:
    diff = (
        b'{"stream":"btcusdt@depth","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":2,"u":3,"b":[["1","1"]],"a":[]}}'
    )
    image = b'{"stream":"btcusdt@depth5","data":{"lastUpdateId":2,"bids":[["1","1"]],"asks":[]}}'
    result = replay_of("binance", "spot", [diff, image, image]).run()
    assert result.refused == 2
    assert list(result.refused_reasons) == ["another book topic of BTCUSDT: the one of btcusdt@depth is replayed"]


def test_images_alone_make_a_book() -> None:
    image = '{{"stream":"btcusdt@depth5","data":{{"lastUpdateId":{},"bids":[["1","{}"]],"asks":[["2","1"]]}}}}'
    replay = replay_of("binance", "spot", [image.format(n, n).encode() for n in (5, 6, 6, 4)])
    events: list[Event] = []
    replay.on_event = events.append
    result = replay.run()
    assert [type(event) for event in events] == [Snapshot, Delta]
    assert (result.pairs["BTCUSDT"].sequence, result.pairs["BTCUSDT"].bids) == (6, [("1", "6")])


def test_a_pair_that_has_only_a_snapshot_has_a_book() -> None:
    answer = Recorded(b'{"lastUpdateId":2,"bids":[["1","1"]],"asks":[["2","1"]]}', None)
    result = replay_of("binance", "spot", [], {"BTCUSDT": [answer]}).run()
    assert (result.pairs["BTCUSDT"].sequence, result.pairs["BTCUSDT"].live) == (2, True)


def test_a_snapshot_that_cannot_be_read_is_undecodable() -> None:
    result = replay_of("binance", "spot", [], {"BTCUSDT": [Recorded(b"<html>", None)]}).run()
    assert result.undecodable == 1
    assert not result.pairs["BTCUSDT"].live


def test_with_metadata_pairs_are_base_and_quote_and_other_symbols_are_refused(recorded: Path) -> None:
    folder = recorded / "binance/futures"
    snapshots = {"SUSHI/USDT": folder / "cf202107_rest_depth_SUSHIUSDT.jsonl"}
    file = folder / "cf202107_session_ws.jsonl"
    result = load("binance", "futures", file, snapshots, folder / "cf202107_rest_exchangeInfo.jsonl").run()
    assert set(result.pairs) == {"SUSHI/USDT", "AKRO/USDT", "KEEP/USDT", "CTK/USDT"}
    assert result.pairs["SUSHI/USDT"].sequence == 600860425198
    assert (result.pairs["AKRO/USDT"].live, result.gaps) == (False, 0)  # nobody gave its snapshot
    spot = recorded / "binance/spot"
    metadata = spot / "cf202110_rest_exchangeInfo_trimmed.jsonl"
    result = load("binance", "spot", spot / "cf202104_session_ws.jsonl", {}, metadata).run()
    assert result.refused_reasons["symbol BUSDTRY: not among the instruments"] >= 9
    assert "BUSDTRY" not in result.pairs
    metadata = recorded / "okx/spot/cf202205_rest_instruments_SPOT.jsonl"
    result = load("okx", "spot", recorded / "okx/spot/cf202202_session_ws.jsonl", {}, metadata).run()
    assert set(result.pairs) == {"ZEN/USDT", "ELON/USDT", "PROPS/ETH"}


@cache
def every_kind_of_line(recorded: Path) -> dict[tuple[str, str], list[bytes]]:
    """A few hundred lines of every file, by venue and market."""
    lines: dict[tuple[str, str], list[bytes]] = {}
    for file in other_files(recorded):
        lines.setdefault(venue_of(file), []).extend((recorded / file).read_bytes().splitlines()[:60])
    return lines


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_lines_in_any_order_are_replayed_without_an_error(recorded: Path, data: st.DataObject) -> None:
    (venue, market), lines = data.draw(st.sampled_from(sorted(every_kind_of_line(recorded).items())))
    frames = data.draw(st.lists(st.sampled_from(lines) | st.binary(max_size=30), max_size=40))
    result = replay_of(venue, market, frames).run()
    assert result.frames == len(frames)
    assert result.undecodable + result.refused + result.answers <= result.frames


def test_versions_that_are_mixed_in_a_file_do_not_meet_in_a_book() -> None:
    level = '"asks":[["2","1","0","1"]],"bids":[],"ts":"1"'
    new, old = f'[{{{level},"seqId":5,"prevSeqId":%d}}]', f'[{{{level},"checksum":7}}]'
    push = '{"arg":{"channel":"books","instId":"A-B"},"action":"%s","data":%s}'
    frames = [
        push % ("snapshot", new % -1),
        push % ("update", old),
        push % ("snapshot", old),
        push % ("update", new % 4),
    ]
    result = replay_of("okx", "spot", [frame.encode() for frame in frames]).run()
    assert result.refused == 2
    assert "another version" in next(iter(result.refused_reasons))
    assert (result.pairs["A-B"].live, result.gaps) == (True, 0)


# --- the command ----------------------------------------------------------------------------------------------------------


def test_the_command_prints_the_contracts_json(recorded: Path) -> None:
    file = "binance/spot/cf202110_session_ws.jsonl"
    snapshots = [f"--snapshot={symbol}={path}" for symbol, path in snapshot_files(recorded, file).items()]
    command = [sys.executable, "-m", "feeds.replay", "binance", "spot", str(recorded / file), *snapshots, "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    result = json.loads(run.stdout)
    assert run.stderr == ""
    assert {
        "frames",
        "events",
        "undecodable",
        "refused",
        "gaps",
        "checksum_failures",
        "crossed",
        "pairs",
    } <= result.keys()
    assert result["frames"] == 265
    assert result["pairs"]["RUNEEUR"]["sequence"] == 15602513
    assert result["pairs"]["RUNEEUR"]["bids"][0] == ["6.251", "69.3"]
    assert len(result["pairs"]["NKNUSDT"]["asks"]) == 20


def test_without_json_there_is_a_summary_for_people(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["okx", "spot", str(recorded / "okx/spot/captured_202609.jsonl")]) == 0
    assert "SOL-USDT: 120.65 × 46.716665 / 120.67 × 60.475897, sequence 32032594315" in capsys.readouterr().out


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A recording of one line, and its time beside."""
    (tmp_path / "small.recv").write_text("1795348800\n")
    file = tmp_path / "small.jsonl"
    file.write_text('{"result":null,"id":1}\n')
    return file


@pytest.mark.parametrize(
    "arguments, word",
    [
        (lambda file: ["binanse", "spot", file], "did you mean binance?"),
        (lambda file: ["binance", "options", file], "expected futures or spot"),
        (lambda file: ["binance", "spot", file + "x"], "cannot read"),
        (lambda file: ["binance", "spot", str(Path(file).parent)], "cannot read"),
        (lambda file: ["binance", "spot"], "FILE"),
        (lambda file: ["binance", "spot", file, "--snapshot", "BTCUSDT"], "expected PAIR=FILE"),
        (lambda file: ["binance", "spot", file, "--snapshot", f"BTCUSDT={file}x"], "cannot read"),
        (lambda file: ["binance", "spot", file, "--instruments", file], "no exchangeInfo"),
        (lambda file: ["binance", "spot", file, "--wrong"], "unrecognized arguments"),
    ],
)
def test_a_wrong_call_is_one_line_and_a_failure(
    small: Path, arguments: Callable[[str], list[str]], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments(str(small)), "--json"]) == ConfigError.exit_code
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.count("\n") == 1
    assert word in streams.err


def test_a_pair_that_is_not_among_the_instruments_cannot_have_a_snapshot(recorded: Path) -> None:
    folder = recorded / "binance/spot"
    snapshots = {"XXX/YYY": folder / "cf202110_rest_depth_BLZETH.jsonl"}
    with pytest.raises(ConfigError, match="XXX/YYY: not among the instruments"):
        load(
            "binance",
            "spot",
            folder / "cf202110_session_ws.jsonl",
            snapshots,
            folder / "cf202110_rest_exchangeInfo_trimmed.jsonl",
        )


def test_unused_frames_keep_their_reason() -> None:
    result = replay_of("okx", "spot", [b'{"arg":{"channel":"tickers","instId":"A-B"},"data":[]}', b"pong"]).run()
    assert (result.frames, result.refused, result.answers, result.undecodable) == (2, 1, 1, 0)
    assert isinstance(Unused(next(iter(result.refused_reasons))), Unused)
