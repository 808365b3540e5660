"""One trace for everything: what the ledger knows of an event, and which feeds and webhooks carried it on."""
