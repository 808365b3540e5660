-- lost notices: select count(*) from ledger.notice
drop table ledger.notice;
