-- lost alerts: select count(*) from ledger.alert
-- lost what was learned about sources: select (select count(*) from ledger.cadence) + (select count(*) from ledger.canary) + (select count(*) from ledger.hearing)
drop table ledger.watch;
drop table ledger.alert;
drop table ledger.canary;
drop table ledger.cadence;
drop table ledger.hearing;
