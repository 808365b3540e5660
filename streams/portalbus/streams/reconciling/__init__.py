"""Reconciliation: the public tables against what the sources state, differences named and healed.

Whether a row is right follows from its event: turned back into the payload that it came from, it has the content hash
that the source's digest covers. Comparing is pure (`comparing.py`, `digests.py`); reading and healing are SQL.
"""
