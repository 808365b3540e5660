"""The ledger's read side: asynchronous queries that return small frozen rows, and news of what changed. No writes."""
