"""Silence: how often each source and event type is usually heard, and who has been silent for longer than that."""
