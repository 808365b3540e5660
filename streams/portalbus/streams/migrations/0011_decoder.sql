-- A record that kills its decoder is found by the decoder's own process: what was noted in the ledger before each batch
-- is of no use any more.
drop table ledger.attempt;
