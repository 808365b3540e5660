-- A ledger that was put back from a backup is older than what the relay has sent: docs/adr/0033-backups.md.
-- The positions that the lost ledger had given away are not given away again: readers remember them.
create table ledger.restoration (
    id      bigint      generated always as identity primary key,
    at      timestamptz not null default now(),
    first   bigint      not null,                      -- first free position of the backup
    after   bigint      not null,                      -- first free position from then on
    check (after >= first)
);

-- What had been sent for positions behind the backup. The relay does not send it a second time.
create table ledger.sent_before (
    topic text not null,
    name  text not null,                               -- of a verdict: what it decided; of an event: whose it is, and its id
    primary key (topic, name)
);
