"""Binance as a server: public websockets and REST, from venues/binance.md."""
