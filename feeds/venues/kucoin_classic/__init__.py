"""PURE. KuCoin, the Classic generation of its sockets: spot and linear perpetuals. For when Pro is withdrawn."""

from feeds.venues.kucoin_classic.market_data import KucoinClassic

MARKETS = (KucoinClassic("spot"), KucoinClassic("futures"))
