"""PURE. Hyperliquid, the first DEX: perpetuals (builder dexes included) and spot, all on one host."""

from feeds.venues.hyperliquid.market_data import Hyperliquid

MARKETS = (Hyperliquid("spot"), Hyperliquid("futures"))
