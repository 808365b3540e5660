-- What became of each delivery, kept for 90 days, so that a trace can say who got an event and when.

create table push.ended (
    message      bigint      not null,                 -- its number: what it said may be deleted
    subscription text        not null,                 -- may have been removed since
    delivered    boolean     not null,                 -- false: given up, and an operator let it go
    attempts     integer     not null,                 -- since it was queued, or last redriven
    ended_at     timestamptz not null,                 -- when the receiver had answered
    primary key (message, subscription)
);
create index ended_at on push.ended (ended_at);
