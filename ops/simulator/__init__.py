"""Simulated venues: each speaks its real wire (REST and websocket), lives, and misbehaves by name.

Written from the venues' protocol sheets, never from our decoders: what both got wrong the same way, no test would see.
"""

from ops.simulator.faults import Misbehaviour
from ops.simulator.simulator import Simulator, serve

__all__ = ["Misbehaviour", "Simulator", "serve"]
