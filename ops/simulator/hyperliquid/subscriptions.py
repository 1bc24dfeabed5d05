"""PURE. What a client asks for: `subscription` objects as venues/hyperliquid.md §4 reads and echoes them."""

from typing import Any, NamedTuple

import msgspec

from ops.simulator.hyperliquid.text import Flavour

OF_A_COIN = ("l2Book", "bbo", "trades", "activeAssetCtx")


class Malformed(Exception):
    """Answered with an error that echoes the frame."""


class Forbidden(Exception):
    """Answered by closing the socket without a word."""


class Subscription(NamedTuple):
    """A subscription with its defaults filled in: its own identity. `coin` is empty for `allMids`."""

    kind: str
    coin: str
    flavour: Flavour = Flavour()

    @property
    def name(self) -> str:
        """Of the stream; every one has its own."""
        fast, figures, mantissa = self.flavour
        words = (self.kind, self.coin, "fast" if fast else "", str(figures or ""), str(mantissa or ""))
        return ":".join(word for word in words if word)

    def echo(self, coin: str | None = None) -> str:
        """As an acknowledgement or error repeats it. `coin`: a wrong one."""
        said: dict[str, Any] = {"type": self.kind}
        if self.coin:
            said["coin"] = self.coin if coin is None else coin
        if self.kind == "l2Book":
            said |= {"nSigFigs": self.flavour.figures, "mantissa": self.flavour.mantissa, "fast": self.flavour.fast}
        return msgspec.json.encode(said).decode()


def read(said: object) -> Subscription:
    """The subscription that a request means. Raises Malformed and Forbidden; whether the coin exists is asked elsewhere."""
    if not isinstance(said, dict):
        raise Malformed
    kind, coin = said.get("type"), said.get("coin")
    if kind == "allMids":
        return Subscription(kind, "")
    if kind not in OF_A_COIN or not isinstance(coin, str):
        raise Malformed
    return Subscription(kind, coin, _flavour(said) if kind == "l2Book" else Flavour())


def _flavour(said: dict[str, Any]) -> Flavour:
    fast, figures, mantissa = said.get("fast"), said.get("nSigFigs"), said.get("mantissa")
    if not (fast is None or isinstance(fast, bool)) or not all(
        one is None or type(one) is int for one in (figures, mantissa)
    ):
        raise Malformed
    if figures not in (None, 2, 3, 4, 5) or mantissa not in (None, 1, 2, 5) or (mantissa and figures != 5):
        raise Forbidden
    return Flavour(bool(fast), figures, mantissa)
