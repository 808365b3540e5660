-- Early warning: an alert may be about a field and area, or about like texts: see docs/adr/0032-early-warning.md. What the
-- watch knows is a cache of its process; there is nothing else to keep.
alter table ledger.alert add column topic text not null default '';
drop index ledger.alert_open;
create unique index alert_open on ledger.alert (kind, agency, portal, event_type, topic) where closed_at is null;
