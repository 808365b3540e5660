create index parked_place on ledger.parked (agency, portal, lane_offset) where state = 'parked' and epoch is not null;
drop index ledger.parked_places;
