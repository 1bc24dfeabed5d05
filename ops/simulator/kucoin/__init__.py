"""KuCoin as a server: both generations of its public websockets, and REST, from venues/kucoin.md."""
