-- lost what was looked at: select count(*) from ledger.look
drop table ledger.look;
drop index ledger.event_received;
alter table ledger.directive drop column looked_at;
alter table ledger.case drop column looked_at;
alter table ledger.judgement drop column weight;
alter table ledger.event drop column heard_by;
alter table ledger.source drop column trusted;
alter table ledger.lane drop column spoken;
