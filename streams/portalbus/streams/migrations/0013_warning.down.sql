-- lost alerts of early warning: select count(*) from ledger.alert where topic <> ''
delete from ledger.alert where topic <> '';
drop index ledger.alert_open;
alter table ledger.alert drop column topic;
create unique index alert_open on ledger.alert (kind, agency, portal, event_type) where closed_at is null;
