"""Tells people of the bus's own alerts, by e-mail and webhook, without a monitoring stack."""
