"""Open311 GeoReport v2: service requests as feedback received, their closing as feedback resolved."""
