"""PURE. Bybit (version 5): spot and linear perpetuals settled in USDT."""

from feeds.venues.bybit.market_data import Bybit

MARKETS = (Bybit("spot"), Bybit("futures"))
