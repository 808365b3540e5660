"""What the web processes of the connectors share."""
