"""MEXC as a server: public websockets and REST of both its stacks, from venues/mexc.md."""
