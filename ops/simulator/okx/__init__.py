"""OKX as a server: public websockets and REST, from venues/okx.md."""
