-- lost the steps without which the ledger cannot be rebuilt: select count(*) from ledger.step
-- lost under which bounds records were judged: select count(*) from ledger.judging
-- lost by how much the clocks of sources are ahead: select count(*) from ledger.source where clock_leads <> '{}'
alter table ledger.source drop column clock_leads;
drop table ledger.step;
drop table ledger.judging;
