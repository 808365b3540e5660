"""Parked records: looking at them, deciding about them, and the limit that keeps a bad deployment from parking all."""
