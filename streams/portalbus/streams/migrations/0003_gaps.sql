-- Gaps that hold, are asked for, and are given up with a reason.

alter table ledger.source add column held integer not null default 0;     -- events held behind its gaps, in ledger.waiting
create index source_holding on ledger.source (agency) where held > 0;

alter table ledger.gap
    add column missing    bigint,                      -- how many of the range have not come: all, unless gaps were merged
    add column state      text not null default 'open' check (state in ('open', 'gone', 'closed')),
    add column hold_until timestamptz,                 -- lane time; null when nothing is held behind it (any more)
    add column asked      integer not null default 0,  -- how often its events were asked for
    add column ask_at     timestamptz default now();   -- when they will be asked for again; null when never
update ledger.gap set missing = last - first + 1;
alter table ledger.gap alter column missing set not null, alter column ask_at drop default;
create index gap_asking on ledger.gap (ask_at) where ask_at is not null;

-- Where each event took its seat in the waiting room: the order of release among equals.
alter table ledger.waiting add column position bigint not null default 0;

-- What operators gave up, and why. It is theirs to say: no lane tells it, so a rebuild keeps this table.
create table ledger.gap_closing (
    id        bigint generated always as identity primary key,
    agency    text        not null,
    portal    text        not null,
    epoch     integer     not null,
    first     bigint      not null,
    last      bigint      not null,
    missing   bigint      not null,
    opened_at timestamptz not null,
    closed_at timestamptz not null default now(),
    closed_by text        not null,
    why       text        not null
);
create index gap_closing_source on ledger.gap_closing (agency, portal, epoch, first);
