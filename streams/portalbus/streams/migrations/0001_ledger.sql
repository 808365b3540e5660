-- The ledger: the central store's source tables. Everything here is a fold of the lanes, except what an operator
-- decided (source.status, parked.state), which is recorded with who and why.

create schema ledger;

-- One row a lane. next_offset is a compare-and-set: it advances in the transaction that holds the effects.
create table ledger.lane (
    agency      text primary key,
    topic_id    text,                            -- Kafka's id of the topic: a topic made anew has other offsets
    next_offset bigint      not null default 0,
    updated_at  timestamptz not null default now()
);

-- The ledger's order. Taking positions locks the row until commit, so position order is commit order.
create table ledger.position (
    one  boolean primary key default true check (one),
    next bigint not null
);
insert into ledger.position (next) values (1);

create table ledger.source (
    agency           text        not null,
    portal           text        not null,
    status           text        not null default 'active' check (status in ('active', 'blocked')),
    epoch            integer     not null default 1,
    last_sequence    bigint      not null default 0,   -- highest sequence seen in this epoch
    first_heard_at   timestamptz not null,
    last_heard_at    timestamptz not null,             -- lane time of the last record, manifest or not
    clock_offset_ms  bigint      not null default 0,   -- published_at minus lane time of the last event
    manifest         jsonb,                            -- the last manifest, without its buckets
    primary key (agency, portal)
);

-- Sequences of a source that were passed over and have not come yet, as ranges.
create table ledger.gap (
    agency      text        not null,
    portal      text        not null,
    epoch       integer     not null,
    first       bigint      not null,
    last        bigint      not null,
    opened_at   timestamptz not null,
    primary key (agency, portal, epoch, first)
);

-- One row for each record of each lane that is not a manifest: its envelope, and what was decided last.
create table ledger.event (
    agency       text        not null,
    lane_offset  bigint      not null,
    event_id     uuid,                                 -- null when the record could not be decoded
    claims_id    boolean     not null,                 -- false for duplicates: they do not own the id
    event_type   text,
    portal       text,
    epoch        integer,
    sequence     bigint,
    key          text,
    content_hash bytea,
    occurred_at  timestamptz,
    published_at timestamptz,
    received_at  timestamptz not null,                 -- lane time: the broker's clock
    judged_at    timestamptz not null,
    position     bigint      not null,                 -- of the last judgement
    status       text        not null,
    final        boolean     not null,
    rule         text        not null,
    primary key (agency, lane_offset)
);
create unique index event_id_once on ledger.event (agency, event_id) where claims_id;
create index event_key on ledger.event (key);
create index event_open on ledger.event (agency, lane_offset) where not final;

-- Every judgement in ledger order: the verdicts, and what is to be sent out. The relay follows `position`. What was
-- judged stands in ledger.event.
create table ledger.judgement (
    position    bigint primary key,
    agency      text        not null,
    lane_offset bigint      not null,
    status      text        not null,
    final       boolean     not null,
    rule        text        not null,
    path        text,
    params      jsonb,
    judged_at   timestamptz not null,
    canonical   bytea                                  -- value for the canonical topic; null when nothing goes there
);

-- Where the relay put what. Follows the judgements; may lag, never leads.
create table ledger.relayed (
    position  bigint  not null,
    topic     text    not null,
    partition integer not null,
    "offset"  bigint  not null,
    primary key (position, topic)
);

create table ledger.directive (
    key            text primary key,                   -- <agency>/<directive_id>
    agency         text        not null,
    directive_id   text        not null,
    version        integer     not null,
    withdrawn      boolean     not null,
    number         text        not null,
    document_type  text        not null,
    title          text        not null,
    language       text        not null,
    field          text,
    issued_on      date        not null,
    published_at   timestamptz not null,               -- lane time of version 1
    changed_at     timestamptz not null,               -- lane time of this version
    position       bigint      not null,
    search         tsvector    not null
);
create index directive_latest on ledger.directive (published_at desc, key) where not withdrawn;
create index directive_agency on ledger.directive (agency, published_at desc);
create index directive_search on ledger.directive using gin (search);

create table ledger.directive_version (
    key         text        not null,
    version     integer     not null,
    action      text        not null,
    event_id    uuid        not null,
    lane_offset bigint      not null,
    received_at timestamptz not null,
    position    bigint      not null,
    document    jsonb       not null,                  -- the payload as published
    primary key (key, version)
);

create table ledger.case (
    case_id          text primary key,
    public_code      text        not null unique,
    receiver         text        not null,
    owner            text        not null,             -- who is to handle it
    regime           text        not null,
    category         integer     not null,
    channel          text        not null,
    field            text,
    area             text,
    urgency          text        not null,
    subject          text        not null,
    content          text        not null,
    language         text        not null,
    pseudonym        text,
    received_at      timestamptz not null,
    state            text        not null check (state in ('RECEIVED', 'RESOLVED')),
    outcome          text,
    reason_code      text,
    reason_text      text,
    legal_basis      text,
    competent_agency text,
    answer           text,
    answer_language  text,
    answer_public    boolean,
    answered_by      text,
    answered_at      timestamptz,
    position         bigint      not null
);

-- The waiting room: events whose cause has not arrived yet. The value is kept to judge it again.
create table ledger.waiting (
    agency      text        not null,
    lane_offset bigint      not null,
    key         text        not null,
    rule        text        not null,                  -- what it waits for
    rank        bigint      not null,                  -- order of release within the key: version or lane time
    until       timestamptz not null,
    received_at timestamptz not null,
    value       bytea       not null,
    primary key (agency, lane_offset)
);
create index waiting_key on ledger.waiting (key);
create index waiting_until on ledger.waiting (until);

-- Records that cannot be decoded or applied, as they came.
create table ledger.parked (
    agency      text        not null,
    lane_offset bigint      not null,
    reason      text        not null,                  -- rule id
    detail      text        not null,
    record_key  bytea,
    headers     jsonb       not null,
    value       bytea,
    parked_at   timestamptz not null,
    state       text        not null default 'parked' check (state in ('parked', 'redriven', 'discarded')),
    decided_by  text,
    decided_why text,
    decided_at  timestamptz,
    primary key (agency, lane_offset)
);

-- What each lane's worker has in hand: an offset that killed the worker three times is parked undecoded.
create table ledger.attempt (
    agency      text primary key,
    lane_offset bigint  not null,
    last_offset bigint  not null,
    attempts    integer not null
);
