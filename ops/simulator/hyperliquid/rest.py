"""Hyperliquid's POST /info: metadata, books, mids, status, and the weight of an address (venues/hyperliquid.md §1, §5, §7).

A real host answers for perpetuals and spot together; a port here lists one of them, the other's universe is empty.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from ops.simulator.catalogue import Listing
from ops.simulator.hyperliquid import listing, text
from ops.simulator.hyperliquid.text import Flavour
from ops.simulator.venue import Venue
from ops.simulator.wire import Request, Response

WEIGHT_PER_MINUTE = 1200
_MINUTE_MS = 60_000.0
_LIGHT, _WEIGHT, _LIGHT_WEIGHT = frozenset({"l2Book", "allMids", "exchangeStatus"}), 20, 2
_NULL = b"null"


class InvalidArgument(Exception):
    """Answered with HTTP 500 and `null` (§7.7)."""


class Weight:
    """What an address has spent in the last minute."""

    def __init__(self) -> None:
        self._spent: deque[tuple[float, int]] = deque()

    def allows(self, weight: int, now_ms: float) -> bool:
        """Count a request; False if it is one too many (it is then not counted)."""
        while self._spent and self._spent[0][0] <= now_ms - _MINUTE_MS:
            self._spent.popleft()
        if sum(one for _, one in self._spent) + weight > WEIGHT_PER_MINUTE:
            return False
        self._spent.append((now_ms, weight))
        return True


class HyperliquidRest:
    """Answers one venue-market's requests."""

    def __init__(self, venue: Venue) -> None:
        self.withdrawn: set[str] = set()  # coins that exist no more
        self._venue = venue
        self._weights: dict[str, Weight] = {}
        self._answers: dict[str, Callable[[dict[str, Any]], Any]] = {
            "meta": lambda said: self._meta(_dex(said)),
            "metaAndAssetCtxs": lambda said: self._with_contexts(self._meta(_dex(said)), self._perpetuals(_dex(said))),
            "allPerpMetas": lambda said: [self._meta(dex) for dex in listing.DEXES],
            "perpDexs": lambda said: [_describe(dex) for dex in listing.DEXES],
            "spotMeta": lambda said: self._spot_meta(),
            "spotMetaAndAssetCtxs": lambda said: self._with_contexts(self._spot_meta(), self._spots()),
            "l2Book": self._book,
            "allMids": lambda said: self.mids(),
            "exchangeStatus": lambda said: {"specialStatuses": None, "time": venue.wall_ms()},
        }

    def answer(self, request: Request) -> Response:
        """One request."""
        if request.path != "/info":
            return Response(404, b"", content_type="text/plain")
        if request.method != "POST":
            return Response(405, b"", content_type="text/plain")
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return _refused(415, "Expected request with `Content-Type: application/json`")
        try:
            said = msgspec.json.decode(request.body)
        except msgspec.DecodeError:
            return _refused(400, "Failed to parse the request body as JSON")
        kind = said.get("type") if isinstance(said, dict) else None
        if not isinstance(kind, str) or kind not in self._answers:
            return _refused(422, "Failed to deserialize the JSON body into the target type")
        weight = self._weights.setdefault(request.remote_ip, Weight())
        allowed = weight.allows(_LIGHT_WEIGHT if kind in _LIGHT else _WEIGHT, self._venue.mono_ms())
        if not allowed and self._venue.enforce_limits:
            self._venue.breach("rest weight")
            return self.limited()
        try:
            found = self._answers[kind](said)
        except InvalidArgument:
            return Response(500, _NULL)
        return Response(200, found.encode() if isinstance(found, str) else msgspec.json.encode(found))

    def limited(self) -> Response:
        """Over the limit: no header says for how long (§7.6)."""
        return Response(429, _NULL)

    def mids(self) -> dict[str, str]:
        """Coin -> middle of the touch."""
        return {one.id: text.mid(self._venue.feed(one.id)) for one in self._listed() if one.trading}

    # ── metadata, §1 ─────────────────────────────────────────────────────────────────────────────────────────────

    def _listed(self) -> list[Listing]:
        return [one for one in self._venue.listings.values() if one.id not in self.withdrawn]

    def _perpetuals(self, dex: str) -> list[Listing]:
        return [one for one in self._listed() if one.kind == "linear" and listing.dex_of(one) == dex]

    def _spots(self) -> list[Listing]:
        return sorted((one for one in self._listed() if one.kind == "spot"), key=lambda one: one.code)

    def _meta(self, dex: str) -> dict[str, Any]:
        return {
            "universe": [
                {"szDecimals": listing.size_decimals(one), "name": one.id, "maxLeverage": 40, "marginTableId": 56}
                | ({} if one.trading else {"isDelisted": True})
                for one in self._perpetuals(dex)
            ],
            "marginTables": [],
            "collateralToken": listing.DEXES[dex],
        }

    def _spot_meta(self) -> dict[str, Any]:
        bases = listing.base_tokens(self._venue.listings.values())
        tokens = sorted({*listing.ODD, *bases.values()}, key=lambda token: token.index)
        return {
            "universe": [
                {"tokens": [bases[one.id].index, listing.USDC.index], "name": one.id,
                 "index": one.code - listing.SPOT_ASSET, "isCanonical": "/" in one.id}
                for one in self._spots()
            ],
            "tokens": [
                {"name": each.name, "szDecimals": each.size_decimals, "weiDecimals": 8, "index": each.index,
                 "tokenId": f"0x{each.index:032x}", "isCanonical": each.index < 2, "evmContract": None, "fullName": None}
                for each in tokens
            ],
        }  # fmt: skip

    def _with_contexts(self, meta: dict[str, Any], listings: list[Listing]) -> list[Any]:
        """Joined by place."""
        return [meta, [msgspec.Raw(text.context(self._venue.feed(one.id)).encode()) for one in listings]]

    def _book(self, said: dict[str, Any]) -> str | None:
        """§5: `null` for a coin that does not exist."""
        coin = said.get("coin")
        if not isinstance(coin, str) or coin not in self._venue.listings or coin in self.withdrawn:
            return None
        feed = self._venue.feed(coin)
        _, bids, asks = self._venue.snapshot(feed)
        return text.book(feed, bids, asks, self._venue.wall_ms(), Flavour())


def _dex(said: dict[str, Any]) -> str:
    """The dex that is asked for. Raises InvalidArgument for one that does not exist."""
    dex = said.get("dex") or listing.FIRST_DEX
    if dex not in listing.DEXES:
        raise InvalidArgument
    return str(dex)


def _describe(dex: str) -> dict[str, Any] | None:
    """The venue's own perpetuals are null."""
    if dex == listing.FIRST_DEX:
        return None
    return {"name": dex, "fullName": dex.upper(), "deployer": f"0x{'0' * 40}", "assetToStreamingOiCap": []}


def _refused(status: int, words: str) -> Response:
    return Response(status, words.encode(), content_type="text/plain")
