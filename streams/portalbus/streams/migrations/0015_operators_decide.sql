-- Operators block sources and close alerts, and the console decides about cases: see docs/adr/0035-blocked-sources.md.

-- Who blocked a source or let it speak again, and why. What follows is a step of the fold and the status of its row.
create table ledger.source_blocking (
    id         bigint      generated always as identity primary key,
    agency     text        not null,
    portal     text        not null,
    status     text        not null check (status in ('blocked', 'active')),
    decided_by text        not null,
    why        text        not null,
    decided_at timestamptz not null default now()
);
create index source_blocked on ledger.source_blocking (agency, portal, id desc);

-- By whom and why an alert was closed whose cause may last; null where it closed by itself.
alter table ledger.alert add column closed_by text, add column closed_why text;

-- A rebuild runs this once more for its shadow; what lies outside of the ledger changes only once.
do $$
begin
    if not exists (select from pg_constraint where conname = 'action_known' and conrelid = 'console.action'::regclass) then
        alter table console.action drop constraint if exists action_what_check;
        alter table console.action add constraint action_known check (what in (
            'redrive', 'discard', 'close-gap', 'ask', 'reconcile', 'assign', 'block', 'unblock'));
    end if;
end $$;
