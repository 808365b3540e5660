-- Webhooks: who wants to hear what, how far the canonical topics were read, and what has not arrived yet.

create schema push;

-- The one process that sends. It writes only while the term is its own: a process that was replaced writes nothing.
create table push.sender (
    one  boolean primary key default true check (one),
    term bigint not null
);
insert into push.sender (term) values (0);

-- How far each partition was read; moves in the transaction that queues what was read.
create table push.place (
    part        text   primary key,                    -- topic/partition
    next_offset bigint not null,
    position    bigint not null                        -- ledger position of the last record taken from it
);

create table push.subscription (
    id                text        primary key,
    url               text        not null,
    secrets           text[]      not null,            -- every message is signed with each
    agencies          text[]      not null,            -- an empty list lets everything through
    types             text[]      not null,
    languages         text[]      not null,
    whole             boolean     not null,            -- also what only the body concerned may read
    internal          boolean     not null,            -- http and private addresses are allowed
    since             bigint      not null,            -- ledger position when it was made: it gets what comes after
    created_at        timestamptz not null default now(),
    created_by        text        not null,
    changed           bigint      not null default 0,  -- grows when somebody decided about its deliveries
    delivered         bigint      not null default 0,
    last_delivered_at timestamptz,
    last_failed_at    timestamptz,
    last_error        text
);

-- What is told, once for all receivers; deleted when the last one has it.
create table push.message (
    number     bigint      primary key,                -- twice the ledger position, plus one for a verdict
    webhook_id text        not null,
    key        text        not null,
    event_type text        not null,
    position   bigint      not null,
    body       text        not null,
    whole      text,                                   -- null where the body says all, or nobody may have the rest
    made_at    timestamptz not null default now()
);

-- What has not arrived yet: a delivery that has is deleted.
create table push.delivery (
    subscription    text        not null references push.subscription on delete cascade,
    message         bigint      not null references push.message,
    failures        integer     not null default 0,
    due_at          timestamptz not null default now(),
    first_failed_at timestamptz,
    last_failed_at  timestamptz,
    last_error      text,
    given_up_at     timestamptz,
    primary key (subscription, message)
);
create index delivery_message on push.delivery (message);
create index delivery_given_up on push.delivery (subscription, message) where given_up_at is not null;
