-- Silence: how often each source and event type is usually heard, who is silent now, and the alerts about it.
-- Learned from the ledger, and no fold of the lanes: a rebuild leaves these tables alone.

-- Up to which moment everything that lay in a lane is in the ledger, and since when that has been so without a break.
-- A source is silent only as far as its lane was heard: a broker that is away silences nobody.
create table ledger.hearing (
    agency      text        primary key,
    heard_until timestamptz not null,
    heard_since timestamptz not null
);

-- One row a source and event type; event_type '' is the source itself. The state follows from the three deadlines,
-- which move with every hearing.
create table ledger.cadence (
    agency        text        not null,
    portal        text        not null,
    event_type    text        not null,
    memory        jsonb       not null,                -- the gaps that are remembered
    last_heard_at timestamptz not null,                -- lane time
    promise_s     integer,                             -- of a source: seconds between manifests, 0 after a good-bye
    quiet_by      timestamptz,                         -- null while the cadence is not known
    late_by       timestamptz,
    silent_by     timestamptz,
    state         text        not null default 'ok' check (state in ('ok', 'quiet', 'late', 'silent')),
    state_since   timestamptz not null,
    primary key (agency, portal, event_type)
);

-- The last canary of each source, and the last one that is known to have come back to its portal.
create table ledger.canary (
    agency        text        not null,
    portal        text        not null,
    heard_at      timestamptz not null,                -- lane time
    round_trip_ms bigint,                              -- from publish() to the verdict, by the portal's clock
    unreturned    bigint      not null,
    primary key (agency, portal)
);

create table ledger.alert (
    id          uuid        primary key,
    kind        text        not null,
    agency      text        not null default '',
    portal      text        not null default '',
    event_type  text        not null default '',
    since       timestamptz not null,
    expected_by timestamptz,
    raised_at   timestamptz not null,
    closed_at   timestamptz,
    params      jsonb       not null,
    message     jsonb       not null
);
create unique index alert_open on ledger.alert (kind, agency, portal, event_type) where closed_at is null;
create index alert_raised on ledger.alert (raised_at desc);

-- Up to which position the cadences are learned. Whoever holds the row keeps watch.
create table ledger.watch (
    one      boolean primary key default true check (one),
    position bigint  not null
);
insert into ledger.watch (position) values (0);
