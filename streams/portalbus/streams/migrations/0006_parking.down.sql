-- How many heartbeats a lane has is counted anew on the way forward.
-- lost decisions about parked records: select count(*) from ledger.parking_decision
-- lost when the limit stopped a worker, and allowances: select (select count(*) from ledger.parking_stop) + (select count(*) from ledger.parking_allowance)
-- lost what parked records hold up and whose place they take: select count(*) from ledger.parked where key is not null or epoch is not null
drop table ledger.parking_allowance;
drop table ledger.parking_stop;
drop table ledger.parking_decision;
drop index ledger.parked_place;
drop index ledger.parked_holding;
drop index ledger.parked_open;
alter table ledger.parked drop column sequence, drop column epoch, drop column portal, drop column holds_until,
    drop column key;
alter table ledger.lane drop column heartbeats;
