-- What is parked because its schema is not known, by the id it names: see docs/adr/0043-schemas-learned-while-running.md.
create index parked_schema on ledger.parked (substring(value from 2 for 4))
    where state = 'parked' and reason = 'record.schema-not-allowed';
