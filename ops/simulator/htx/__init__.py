"""HTX as a server: public websockets and REST of spot and of linear swaps, from venues/htx.md."""
