-- The place of a discarded record stays open for an event that may come for it: see docs/adr/0015-parked-records.md.
-- the version before goes on: the new index has every row of the old one
create index parked_places on ledger.parked (agency, portal, lane_offset) where epoch is not null;
drop index ledger.parked_place;
