-- Parked records: what they hold up, what was decided about them and by whom, and the limit that stops a worker.

-- Records of a lane that have no row in ledger.event (heartbeats): next_offset = events + heartbeats, at any time.
alter table ledger.lane add column heartbeats bigint not null default 0;
update ledger.lane
set heartbeats = next_offset - (select count(*) from ledger.event where event.agency = lane.agency);

alter table ledger.parked
    add column key         text,                       -- later events of the lane with this key wait behind it
    add column holds_until timestamptz,                -- lane time; null when it holds nothing
    add column portal      text,                       -- whose place in the order it takes, by its headers;
    add column epoch       integer,                    -- all three null when it takes none
    add column sequence    bigint;
create index parked_open on ledger.parked (agency, lane_offset) where state = 'parked';
create index parked_holding on ledger.parked (key) where state = 'parked' and holds_until is not null;
create index parked_place on ledger.parked (agency, portal, lane_offset) where state = 'parked' and epoch is not null;

-- Everything that an operator decided about parked records, also where nothing came of it.
create table ledger.parking_decision (
    id          bigint generated always as identity primary key,
    agency      text        not null,
    lane_offset bigint      not null,
    action      text        not null check (action in ('redrive', 'discard')),
    outcome     text        not null,                  -- the rule that decided in the end; else why it stays parked
    position    bigint,                                -- of the judgement; null when it stays parked
    decided_by  text        not null,
    decided_why text        not null,
    decided_at  timestamptz not null
);
create index parking_decision_record on ledger.parking_decision (agency, lane_offset);

-- When the limit stopped a worker, and how it went on.
create table ledger.parking_stop (
    id         bigint generated always as identity primary key,
    stopped_at timestamptz not null,
    parked     integer     not null,                   -- parked records among the newest `judged` ones of `lanes` lanes
    judged     integer     not null,
    lanes      integer     not null,
    behind     jsonb       not null,                   -- next offset of each lane after the batch that it did not take
    ended_at   timestamptz
);
create unique index parking_stop_open on ledger.parking_stop ((true)) where ended_at is null;

-- Until when an operator lets records be parked without a limit. What was judged before does not count after it.
create table ledger.parking_allowance (
    id          bigint generated always as identity primary key,
    until       timestamptz not null,
    allowed_by  text        not null,
    allowed_why text        not null,
    allowed_at  timestamptz not null
);
