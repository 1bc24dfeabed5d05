"""PURE. OKX: spot and linear perpetual swaps, and how recordings of before 2023 are read."""

from feeds.venues.history import History
from feeds.venues.okx.checksum import ChecksumVerifier
from feeds.venues.okx.market_data import Okx

MARKETS = (Okx("spot"), Okx("futures"))
HISTORY = (
    History(Okx("spot", history=True), ChecksumVerifier),
    History(Okx("futures", history=True), ChecksumVerifier),
)
