drop index ledger.parked_schema;
