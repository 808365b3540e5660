"""The demonstration: simulated portals through a working day, over the real bus, checked to the last field."""
