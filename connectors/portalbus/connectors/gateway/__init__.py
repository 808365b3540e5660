"""The HTTP gateway: portals of any technology publish CloudEvents and read their verdicts."""
