"""The demonstration: simulated portals through a compressed working day, over the real bus, checked to the last field."""
