"""Hyperliquid as a server: public websockets and POST /info, from venues/hyperliquid.md."""
