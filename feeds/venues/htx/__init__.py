"""PURE. HTX (formerly Huobi): spot and USDT-margined linear perpetual swaps, two systems with a dialect each."""

from feeds.venues.htx.futures import HtxFutures
from feeds.venues.htx.spot import HtxSpot

MARKETS = (HtxSpot(), HtxFutures())
