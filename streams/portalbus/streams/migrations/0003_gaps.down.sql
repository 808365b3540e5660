-- lost gaps that were closed, and why: select count(*) from ledger.gap_closing
-- lost what was asked for and given up of open gaps: select count(*) from ledger.gap
-- lost the order of the waiting room: select count(*) from ledger.waiting
-- lost how many events sources have behind gaps: select count(*) from ledger.source where held > 0
drop table ledger.gap_closing;
alter table ledger.waiting drop column position;
drop index ledger.gap_asking;
alter table ledger.gap drop column ask_at, drop column asked, drop column hold_until, drop column state,
    drop column missing;
drop index ledger.source_holding;
alter table ledger.source drop column held;
