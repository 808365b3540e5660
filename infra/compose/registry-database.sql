-- The registry keeps its contracts in a database of its own, beside the ledger.
create database registry;
