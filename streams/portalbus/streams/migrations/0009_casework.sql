-- Casework: what the law's clock makes of the cases. All of it but casework.law is a fold of the accepted events of cases
-- in ledger order: emptied, it is folded again to the same rows. See docs/adr/0024-the-legal-clock.md.
--
-- A rebuild of the ledger runs every migration once more for its shadow; what lies outside of the ledger is made where it
-- is missing.

create schema if not exists casework;

-- Up to which position of the ledger cases are folded. `urgent` runs ahead: urgent cases are folded first.
create table if not exists casework.place (
    one      boolean primary key default true check (one),
    position bigint  not null,
    urgent   bigint  not null,
    law      bigint  not null                          -- the law in force at `position`
);
insert into casework.place (position, urgent, law) values (0, 0, 0) on conflict do nothing;

-- By which calendar and which regimes deadlines were reckoned, and from which position of the ledger on. No fold: it is what
-- a replay years later needs to come to the same dates.
create table if not exists casework.law (
    id       bigint      generated always as identity primary key,
    after    bigint      not null,                     -- in force for events behind this position
    calendar text        not null,                     -- version
    regimes  text        not null,                     -- version
    days     text        not null,                     -- the calendar itself
    terms    text        not null,                     -- the regimes themselves
    at       timestamptz not null
);

-- One row a case, as far as it is folded.
create table if not exists casework.case (
    case_id  text    primary key,
    owner    text    not null,                         -- who has it now
    urgency  text    not null,
    state    text    not null,
    position bigint  not null,                         -- of its last event; 0: urgent, and not judged yet
    life     jsonb   not null                          -- what the fold has to remember of it
);

-- One row each time that a body has a case: a clock of its own. What accountability figures count.
create table if not exists casework.handling (
    case_id      text        not null,
    number       integer     not null,
    agency       text        not null,
    level        text        not null,                 -- L0, L1, L2
    regime       text        not null,
    category     integer     not null,
    field        text,
    area         text,
    received_at  timestamptz not null,
    answered_at  timestamptz,
    ended_at     timestamptz,
    ending       text,                                 -- ANSWERED, REFUSED, TRANSFERRED, DIVERTED, WITHDRAWN …
    reason_code  text,
    returned     integer     not null,                 -- answers that the centre returned as unsuitable
    extended     integer     not null,
    reopened     boolean     not null,                 -- this clock started because the case was reopened
    told_late    boolean     not null,                 -- answered in time as the agency says, and told when it was late
    satisfaction integer,                              -- 1 to 5
    primary key (case_id, number)
);
create index if not exists handling_received on casework.handling (received_at);

-- One row a deadline of a handling; see schemas/law/deadlines.py. Those that are OPEN are the timers.
create table if not exists casework.deadline (
    case_id  text        not null,
    handling integer     not null,
    duty     text        not null,
    number   integer     not null,
    agency   text        not null,                     -- who owes it
    rule     text        not null,
    law      bigint      not null,                     -- row of casework.law: calendar and regimes
    due_on   date,                                     -- null for what is owed within minutes, and while the clock stands
    due_at   timestamptz,                              -- late from this moment on
    met_at   timestamptz,
    state    text        not null,
    primary key (case_id, handling, duty, number)
);
create index if not exists deadline_due on casework.deadline (due_at) where state = 'OPEN';
create index if not exists deadline_due_of on casework.deadline (agency, due_at) where state = 'OPEN';
create index if not exists deadline_law on casework.deadline (law) where met_at is null and state <> 'VOID';

-- One row each time that something was not done in time: OVERDUE, PROGRESS_DUE, or ESCALATED to the next authority.
create table if not exists casework.escalation (
    case_id   text        not null,
    handling  integer     not null,
    duty      text        not null,
    number    integer     not null,
    kind      text        not null,
    agency    text        not null,                    -- who did not do it
    told_to   text        not null,                    -- who is to look at it: for an urgent case the level above, or PM
    at        timestamptz not null,                    -- when it was late
    closed_at timestamptz,                             -- when it was done after all, or was owed no more
    primary key (case_id, handling, duty, number)
);
create index if not exists escalation_open on casework.escalation (kind, told_to, at) where closed_at is null;

-- Up to where each lane was looked through for urgent cases, ahead of judgement.
create table if not exists casework.scouted (
    agency      text   primary key,
    next_offset bigint not null
);

-- Events of urgent cases that were folded before they were judged. Once judged a row goes; if refused, with what it said.
create table if not exists casework.ahead (
    agency      text   not null,
    lane_offset bigint not null,
    case_id     text   not null,
    primary key (agency, lane_offset)
);

-- Urgent cases in the order in which something was said of them.
create index case_urgent on ledger.case (position) where urgency = 'URGENT';
