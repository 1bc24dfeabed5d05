"""PURE. Binance: spot and USDⓈ-M futures."""

from feeds.venues.binance.futures import BinanceFutures
from feeds.venues.binance.spot import BinanceSpot

MARKETS = (BinanceSpot(), BinanceFutures())
