"""Servers that start from wheels or from PATH, for `fleet demo` and for tests: nothing to install or configure."""
