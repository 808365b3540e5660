"""The ledger: one PostgreSQL transaction holds effects, verdicts, lane offsets and outgoing rows, or nothing."""
