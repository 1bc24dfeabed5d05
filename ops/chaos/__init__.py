"""Faults on a real fleet: real processes and servers, simulated venues, everything on loopback, measured from outside."""
