-- lost which positions a restore passed over: select count(*) from ledger.restoration
-- lost what was sent before a restore and would be sent again: select count(*) from ledger.sent_before
drop table ledger.sent_before;
drop table ledger.restoration;
