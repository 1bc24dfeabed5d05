"""CoinEx as a server: public websockets and REST, from venues/coinex.md."""
