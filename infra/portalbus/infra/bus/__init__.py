"""The whole bus on one machine: the local stack, and on it the worker, the relay and the central portal.

with Bus(home, progress=Lines()) as bus:
    print(bus.addresses.central_url)
"""

from portalbus.infra.bus.addresses import Addresses, BusNotRunning, find_addresses
from portalbus.infra.bus.bus import Bus
from portalbus.infra.bus.status import BusStatus, bus_status

__all__ = ["Addresses", "Bus", "BusNotRunning", "BusStatus", "bus_status", "find_addresses"]
