"""PURE. CoinEx: spot and linear perpetuals, API version 2. Off by default: the venue announced its end."""

from feeds.venues.coinex.market_data import CoinEx

MARKETS = (CoinEx("spot"), CoinEx("futures"))
