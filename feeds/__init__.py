"""Venue sockets to events: decoders (pure), session (pure), connections, REST, pool, publisher."""
