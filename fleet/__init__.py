"""Coordination and transport of the fleet: configuration, Redis, leases, heartbeats, tasks. Knows no market data."""

VERSION = "0.2.0"  # the one place: the build reads it here, and a checkout shows it whatever is installed
