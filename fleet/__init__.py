"""Coordination and transport of the fleet: configuration, Redis, leases, heartbeats, tasks. Knows no market data."""
