-- Reconciliation: what the sources state, where the centre differs, and what was done about it. It tells of the store
-- and is no fold of the lanes: a rebuild keeps these tables.

-- Days are found without an index that every insert pays for.
create index event_published on ledger.event using brin (published_at);

-- The last statement of each source about each of its buckets (event type and day of publication in UTC).
create table ledger.manifest_bucket (
    agency             text        not null,
    portal             text        not null,
    epoch              integer     not null,
    event_type         text        not null,
    day                date        not null,
    count              bigint      not null,
    digest             bytea       not null,
    delivered_sequence bigint      not null,           -- it covers the events up to here
    stated_at          timestamptz not null,           -- lane time
    explained          bytea,                          -- XOR of this digest and ours when the contents had been gone through
    primary key (agency, portal, epoch, event_type, day)
);

-- What the centre has asked a source for: what lies in a bucket, from the sequence `first` on.
create table ledger.inquiry (
    agency     text        not null,
    portal     text        not null,
    epoch      integer     not null,
    event_type text        not null,
    day        date        not null,
    first      bigint      not null,
    since      timestamptz not null,                   -- when it was asked for the first time
    asked_at   timestamptz not null,
    primary key (agency, portal, epoch, event_type, day)
);

-- The answers, until they have been compared.
create table ledger.bucket_contents (
    agency     text        not null,
    portal     text        not null,
    epoch      integer     not null,
    event_type text        not null,
    day        date        not null,
    first      bigint      not null,
    last       bigint      not null,
    events     jsonb       not null,                   -- [{id, sequence, content_hash, delivered}]
    heard_at   timestamptz not null,
    primary key (agency, portal, epoch, event_type, day)
);

-- Every difference that was found, and what became of it.
create table ledger.repair (
    id           bigint      generated always as identity primary key,
    kind         text        not null check (kind in ('missing', 'altered', 'unknown')),
    place        text        not null,                 -- table that differs: event, directive_version, directive, case, answer
    agency       text        not null,
    portal       text,
    epoch        integer,
    sequence     bigint,
    event_id     uuid,
    content_hash bytea,                                -- what the event has to say, by the source or the ledger
    key          text,                                 -- directive or case; null while it is not known
    version      integer,
    columns      text[]      not null default '{}',    -- which ones differ; never what they hold
    found_at     timestamptz not null,
    asked        integer     not null default 0,       -- how often the source was asked to send the event again
    asked_at     timestamptz,
    value        bytea,                                -- the event as it was sent again
    healed_at    timestamptz,
    healed_from  text check (healed_from in ('ledger', 'source', 'removed', 'kept'))
);
create unique index repair_open on ledger.repair (agency, place, kind, coalesce(key, ''), coalesce(version, 0), event_id)
    nulls not distinct where healed_at is null;
create index repair_asked on ledger.repair (agency, event_id) where healed_at is null and asked_at is not null;
create index repair_found on ledger.repair (found_at);

-- Rows as they were found, before they were removed or written anew: the evidence.
create table ledger.quarantine (
    id             bigint      generated always as identity primary key,
    place          text        not null,
    agency         text        not null,
    key            text,
    content        jsonb       not null,
    quarantined_at timestamptz not null
);

-- When the store was compared, and what that gave. `whole` tells whether everything was, or only the last days.
create table ledger.reconciliation (
    started_at        timestamptz not null,
    finished_at       timestamptz not null,
    whole             boolean     not null,
    events            bigint      not null,
    buckets           bigint      not null,
    differing_buckets bigint      not null,
    differences       bigint      not null
);
create index reconciliation_started on ledger.reconciliation (started_at);
