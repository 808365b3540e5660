drop index ledger.parked_place;
create index parked_place on ledger.parked (agency, portal, lane_offset) where state = 'parked' and epoch is not null;
