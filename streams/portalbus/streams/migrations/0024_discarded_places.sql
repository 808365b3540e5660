-- The place of a discarded record stays open for an event that may come for it: see docs/adr/0015-parked-records.md.
drop index ledger.parked_place;
create index parked_place on ledger.parked (agency, portal, lane_offset) where epoch is not null;
