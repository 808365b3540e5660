"""Pull connectors: portals without developers are read by the bus, and what is new there is published for them.

A kind reads (`kind.Source`), the comparer decides (`comparing.compare`), the memory keeps both together (`memory`),
and the SDK publishes. `runner` is the process that does it for many portals.
"""
