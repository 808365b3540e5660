-- A directive is also found by the address it has on its own portal: see docs/adr/0034-catalogue-search-traces.md. The
-- index holds hashes: addresses may be long, and are only ever asked for as a whole.
create index directive_version_address on ledger.directive_version using hash ((document->>'canonical_url'));
