"""PURE. KuCoin, the Pro generation of its sockets: spot and linear perpetuals."""

from feeds.venues.kucoin.market_data import Kucoin

MARKETS = (Kucoin("spot"), Kucoin("futures"))
