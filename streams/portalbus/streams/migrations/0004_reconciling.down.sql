-- lost what sources stated and what was asked of them: select (select count(*) from ledger.manifest_bucket) + (select count(*) from ledger.inquiry) + (select count(*) from ledger.bucket_contents)
-- lost differences that were found: select count(*) from ledger.repair
-- lost rows in quarantine: select count(*) from ledger.quarantine
-- lost when the store was compared: select count(*) from ledger.reconciliation
drop table ledger.reconciliation;
drop table ledger.quarantine;
drop table ledger.repair;
drop table ledger.bucket_contents;
drop table ledger.inquiry;
drop table ledger.manifest_bucket;
drop index ledger.event_published;
