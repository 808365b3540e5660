"""Rebuilding the ledger from the lanes, beside the one that is in use: replay, compare, exchange."""
