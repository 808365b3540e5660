-- Rebuilding: what was folded into the ledger, step by step in the order in which it was done. A replay of these steps
-- over the lanes comes to the same rows. And the clocks of the sources.

-- By which version of the program, and under which bounds, records were judged.
create table ledger.judging (
    id      integer generated always as identity primary key,
    version text    not null,
    bounds  jsonb   not null,
    unique (version, bounds)
);

-- One row a transaction that judges. Written under the ledger's lock: the order of ids is the order of commits.
create table ledger.step (
    id       bigint      generated always as identity primary key,
    position bigint      not null,                     -- first free position before it
    after    bigint      not null,                     -- and after it
    kind     text        not null,
    told     jsonb       not null,                     -- what it was given; see ledger/steps.py
    at       timestamptz not null,                     -- the clock of whoever took the step: judged_at of its rows
    judging  integer     not null references ledger.judging
);

-- By how many milliseconds each of the last heartbeats was ahead of its lane time when it arrived.
alter table ledger.source add column clock_leads bigint[] not null default '{}';
