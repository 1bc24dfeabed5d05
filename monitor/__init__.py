"""History: stream entries and live books into ClickHouse, each once; the role of a daemon that does it."""
