-- What each recipient of reports has been sent. Whoever sends holds the row.

create table if not exists alerting.report (
    recipient text        primary key,
    last_day  date        not null,                    -- the last day of which it was told
    known     text[]      not null default '{}',       -- cases at the top level that it was told of
    failures  integer     not null default 0,
    due_at    timestamptz not null default '-infinity',-- when it is tried again
    sent      bigint      not null default 0,
    last_error text       not null default ''          -- a kind of error and a code, never an address or a text
);
