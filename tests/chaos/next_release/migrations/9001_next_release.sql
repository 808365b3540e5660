-- What a next version might add, to the tables that every event goes through.
alter table ledger.lane add column spoken text not null default 'vi';
alter table ledger.source add column trusted boolean not null default true;
alter table ledger.event add column heard_by text;
alter table ledger.judgement add column weight integer not null default 1;
alter table ledger.case add column looked_at timestamptz;
alter table ledger.directive add column looked_at timestamptz;
create index event_received on ledger.event (received_at);
create table ledger.look (key text primary key, at timestamptz not null);
insert into ledger.look select key, changed_at from ledger.directive;
update ledger.case set looked_at = received_at;
