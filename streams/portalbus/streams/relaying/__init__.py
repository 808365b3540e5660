"""The relay: sends the ledger's judgements to the canonical and verdict topics, each exactly once, in ledger order."""
