-- The life of a case: see docs/adr/0023-the-life-of-a-case.md. `owner` is who has it now.
alter table ledger.case add column addressed_to text;                          -- as it was received
alter table ledger.case add column stage        text    not null default 'RECEIVED';
alter table ledger.case add column passed       text[];                        -- who had it, the owner last; null: never transferred
alter table ledger.case add column steps        integer not null default 0;    -- how many were taken

-- CLOSED: ended without an answer.
alter table ledger.case drop constraint case_state_check;
alter table ledger.case add constraint case_state_check check (state in ('RECEIVED', 'RESOLVED', 'CLOSED'));

update ledger.case set addressed_to = owner,
    stage = case when state = 'RECEIVED' then 'RECEIVED'
                 when outcome in ('REJECTED', 'TRANSFERRED_OUT', 'DIVERTED', 'WITHDRAWN') then outcome
                 else 'ANSWERED' end;

-- One row a step that was accepted.
create table ledger.case_step (
    case_id     text        not null,
    position    bigint      not null,
    agency      text        not null,                  -- who took it
    event_id    uuid        not null,
    lane_offset bigint      not null,
    received_at timestamptz not null,
    step        text        not null,
    document    jsonb       not null,                  -- all that was said
    primary key (case_id, position)
);
