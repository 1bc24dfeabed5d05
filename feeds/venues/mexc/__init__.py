"""PURE. MEXC: spot (protobuf) and USDT-margined perpetual contracts (JSON). Two protocols that share a name."""

from feeds.venues.mexc.contract import MexcContract
from feeds.venues.mexc.spot import MexcSpot

MARKETS = (MexcSpot(), MexcContract())
