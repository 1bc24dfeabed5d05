"""PURE. Market data payloads of KuCoin's Classic sockets, as venues/kucoin.md §5.2-§5.4 and §6 show them. Sizes of futures are
lots, and JSON numbers in most places."""

from collections.abc import Iterable

from ops.simulator.feed import Feed
from ops.simulator.market import Trade
from ops.simulator.window import Delta


def text_levels(feed: Feed, side: Iterable[tuple[int, int]]) -> str:
    """[price, size], both text: spot."""
    price, size = feed.price_text, feed.size_text
    return ",".join([f'["{price(ticks)}","{size(lots)}"]' for ticks, lots in side])


def mixed_levels(feed: Feed, side: Iterable[tuple[int, int]]) -> str:
    """[price as text, size as a number]: futures depth channels."""
    price, size = feed.price_text, feed.size_text
    return ",".join([f'["{price(ticks)}",{size(lots)}]' for ticks, lots in side])


def number_levels(feed: Feed, side: Iterable[tuple[int, int]]) -> str:
    """[price, size], both JSON numbers: futures REST."""
    price, size = feed.price_text, feed.size_text
    return ",".join([f"[{price(ticks)},{size(lots)}]" for ticks, lots in side])


def _message(topic: str, subject: str, feed: Feed, data: str, sn: int | None = None) -> str:
    number = "" if sn is None else f'"sn":{sn},'
    return f'{{"topic":"{topic}:{feed.listing.id}","type":"message","subject":"{subject}",{number}"data":{{{data}}}}}'


# ── books ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def spot_update(feed: Feed, first: int, one: Delta, wall_ms: int) -> str:
    """§5.2. Every level carries a sequence: here always the last of the message, which no snapshot inside can exceed."""
    price, size = feed.price_text, feed.size_text
    sides = (
        ",".join([f'["{price(ticks)}","{size(lots)}","{one.last}"]' for ticks, lots in side.items()])
        for side in (one.asks, one.bids)
    )
    asks, bids = sides
    return _message(
        "/market/level2", "trade.l2update", feed,
        f'"changes":{{"asks":[{asks}],"bids":[{bids}]}},"sequenceEnd":{one.last},"sequenceStart":{first},'
        f'"symbol":"{feed.listing.id}","time":{wall_ms}',
    )  # fmt: skip


def hidden_change(feed: Feed, sequence: int, wall_ms: int) -> str:
    """§5.2: a hidden order's change, with price 0: only its sequence counts."""
    return _message(
        "/market/level2", "trade.l2update", feed,
        f'"changes":{{"asks":[["0","0","{sequence}"]],"bids":[]}},"sequenceEnd":{sequence},"sequenceStart":{sequence},'
        f'"symbol":"{feed.listing.id}","time":{wall_ms}',
    )  # fmt: skip


def futures_changes(feed: Feed, first: int, one: Delta, wall_ms: int) -> list[str]:
    """§5.3: one level a frame, sequences without a hole. Removals come first, so that no frame crosses the book; where the
    engine changed a level more than once, the last frame is said again until all sequences are used up."""
    price, size = feed.price_text, feed.size_text
    changes = [("buy", *level) for level in one.bids.items()] + [("sell", *level) for level in one.asks.items()]
    changes.sort(key=lambda change: change[2] != 0)
    changes += [changes[-1]] * (one.last - first + 1 - len(changes))
    return [
        _message(
            "/contractMarket/level2", "level2", feed,
            f'"sequence":{sequence},"change":"{price(ticks)},{side},{size(lots)}","timestamp":{wall_ms}', sequence,
        )
        for sequence, (side, ticks, lots) in enumerate(changes, first)
    ]  # fmt: skip


def spot_depth(feed: Feed, topic: str, most: int, wall_ms: int) -> str:
    """§5.4: no sequence; the symbol only in the topic."""
    book = feed.instrument
    sides = f'"asks":[{text_levels(feed, book.asks.top(most))}],"bids":[{text_levels(feed, book.bids.top(most))}]'
    return _message(topic, "level2", feed, f'{sides},"timestamp":{wall_ms}')


def futures_depth(feed: Feed, topic: str, most: int, wall_ms: int) -> str:
    """§5.4: `sn` is a time."""
    book = feed.instrument
    sides = f'"asks":[{mixed_levels(feed, book.asks.top(most))}],"bids":[{mixed_levels(feed, book.bids.top(most))}]'
    data = f'"sequence":{book.sequence},{sides},"timestamp":{wall_ms},"ts":{wall_ms}'
    return _message(topic, "level2", feed, data, wall_ms)


# ── best prices ──────────────────────────────────────────────────────────────────────────────────────────────────────


def level1(feed: Feed, wall_ms: int) -> str:
    """§5.4: flat sides."""
    bid, bid_lots, ask, ask_lots = feed.touch()
    price, size = feed.price_text, feed.size_text
    asks, bids = f'["{price(ask)}","{size(ask_lots)}"]', f'["{price(bid)}","{size(bid_lots)}"]'
    return _message("/spotMarket/level1", "level1", feed, f'"asks":{asks},"bids":{bids},"timestamp":{wall_ms}')


def spot_ticker(feed: Feed, last: tuple[int, int, bool], wall_ms: int) -> str:
    """`/market/ticker`: best prices and the last trade."""
    bid, bid_lots, ask, ask_lots = feed.touch()
    price, size = feed.price_text, feed.size_text
    return _message(
        "/market/ticker", "trade.ticker", feed,
        f'"bestAsk":"{price(ask)}","bestAskSize":"{size(ask_lots)}","bestBid":"{price(bid)}",'
        f'"bestBidSize":"{size(bid_lots)}","price":"{price(last[0])}","sequence":"{feed.instrument.sequence}",'
        f'"size":"{size(last[1])}","time":{wall_ms}',
    )  # fmt: skip


def spot_snapshot(feed: Feed, last: tuple[int, int, bool], wall_ms: int) -> str:
    """`/market/snapshot`, every 2 s. The 24 h figures stand still in a generated market."""
    bid, _, ask, _ = feed.touch()
    price, listing = feed.price_text, feed.listing
    start = f"{listing.price:g}"
    return _message(
        "/market/snapshot", "trade.snapshot", feed,
        f'"sequence":"{feed.instrument.sequence}","data":{{"baseCurrency":"{listing.base}","buy":{price(bid)},'
        f'"sell":{price(ask)},"close":{price(last[0])},"lastTradedPrice":{price(last[0])},"datetime":{wall_ms},'
        f'"high":{start},"low":{start},"open":{start},"quoteCurrency":"{listing.quote}","symbol":"{listing.id}",'
        f'"symbolCode":"{listing.id}","trading":true,"vol":0,"volValue":0}}',
    )  # fmt: skip


def ticker_v2(feed: Feed, wall_ms: int) -> str:
    """§5.4: prices are text, sizes numbers, the time in ns."""
    bid, bid_lots, ask, ask_lots = feed.touch()
    price, size, sequence = feed.price_text, feed.size_text, feed.instrument.sequence
    return _message(
        "/contractMarket/tickerV2", "tickerV2", feed,
        f'"symbol":"{feed.listing.id}","sequence":{sequence},"bestBidSize":{size(bid_lots)},'
        f'"bestBidPrice":"{price(bid)}","bestAskPrice":"{price(ask)}","bestAskSize":{size(ask_lots)},'
        f'"ts":{wall_ms}000000', sequence,
    )  # fmt: skip


def futures_ticker(feed: Feed, last: tuple[int, int, bool], wall_ms: int) -> str:
    """`/contractMarket/ticker`, the older one: with the last trade."""
    bid, bid_lots, ask, ask_lots = feed.touch()
    price, size, sequence = feed.price_text, feed.size_text, feed.instrument.sequence
    return _message(
        "/contractMarket/ticker", "ticker", feed,
        f'"symbol":"{feed.listing.id}","sequence":{sequence},"side":"{"buy" if last[2] else "sell"}",'
        f'"price":"{price(last[0])}","size":{size(last[1])},"tradeId":"{sequence}","bestBidSize":{size(bid_lots)},'
        f'"bestBidPrice":"{price(bid)}","bestAskPrice":"{price(ask)}","bestAskSize":{size(ask_lots)},'
        f'"ts":{wall_ms}000000', sequence,
    )  # fmt: skip


# ── trades ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def matches(feed: Feed, one: Trade, wall_ms: int) -> list[str]:
    """`/market/match`, §6: one frame a fill; time in ns, as text."""
    side = "buy" if one.taker_buys else "sell"
    return [
        _message(
            "/market/match", "trade.l3match", feed,
            f'"symbol":"{feed.listing.id}","sequence":"{one.first_id + n}","type":"match","side":"{side}",'
            f'"price":"{feed.price_text(one.price)}","size":"{feed.size_text(lots)}","tradeId":"{one.first_id + n}",'
            f'"takerOrderId":"{one.last_id:x}","makerOrderId":"{one.first_id + n:x}","time":"{wall_ms}000000"',
        )
        for n, lots in enumerate(one.fills)
    ]  # fmt: skip


def executions(feed: Feed, one: Trade, wall_ms: int) -> list[str]:
    """`/contractMarket/execution`, §6: one frame a fill; the size is a number."""
    side = "buy" if one.taker_buys else "sell"
    return [
        _message(
            "/contractMarket/execution", "match", feed,
            f'"symbol":"{feed.listing.id}","sequence":{one.first_id + n},"side":"{side}",'
            f'"size":{feed.size_text(lots)},"price":"{feed.price_text(one.price)}","tradeId":"{one.first_id + n}",'
            f'"takerOrderId":"{one.last_id}","makerOrderId":"{one.first_id + n}","ts":{wall_ms}000000',
            one.first_id + n,
        )
        for n, lots in enumerate(one.fills)
    ]  # fmt: skip
