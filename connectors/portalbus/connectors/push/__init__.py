"""Webhooks: what the centre has accepted, posted to whoever subscribed, each key in its order."""
