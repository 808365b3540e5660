-- Up to which position of the ledger each recipient has been told of alerts. Whoever tells holds the row.

create schema if not exists alerting;

create table if not exists alerting.place (
    recipient text        primary key,
    position  bigint      not null,
    failures  integer     not null default 0,          -- of the alert behind `position`, so far
    due_at    timestamptz not null default now(),      -- when it is tried again
    told      bigint      not null default 0,
    last_error text       not null default ''          -- a kind of error and a code, never an address or a text
);
