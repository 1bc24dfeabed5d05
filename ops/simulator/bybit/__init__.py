"""Bybit as a server: public websockets and REST, from venues/bybit.md."""
