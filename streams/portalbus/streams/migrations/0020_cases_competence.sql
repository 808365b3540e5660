-- What a complaint or denunciation says leaves the row of its case; the urgency that a case has now; whose competence the
-- rules see; by which directory and rules casework was done. See docs/adr/0039-what-may-not-enter-and-who-is-late.md.

alter table ledger.case add column diverted text;                         -- known on receipt: COMPLAINT, DENUNCIATION
alter table ledger.case add column urgent   boolean not null default false; -- what was said of its urgency last

update ledger.case c set urgent = coalesce((
    select s.document->>'urgency' = 'URGENT' from ledger.case_step s
    where s.case_id = c.case_id and s.step = 'URGENCY_CHANGED' order by s.position desc limit 1), c.urgency = 'URGENT');
-- the version before goes on: without this index it finds the same, more slowly
drop index ledger.case_urgent;
create index case_urgent on ledger.case (position) where urgent;

update ledger.case set stage = 'DIVERTED', subject = '', content = '', pseudonym = null
where stage = 'DIVERTED' or (stage in ('ANSWERED', 'REJECTED', 'TRANSFERRED_OUT') and state = 'RESOLVED'
    and (outcome = 'DIVERTED' or reason_code in ('OUT_OF_SCOPE_COMPLAINT', 'OUT_OF_SCOPE_DENUNCIATION')));

-- A rebuild of the ledger runs this once more for its shadow: what lies outside of the ledger is made where it is missing.

-- Which code folded casework: another one folds it anew.
alter table casework.place add column if not exists fold integer not null default 1;

-- The directory and the rules of competence in force, beside calendar and regimes; null: as shipped.
alter table casework.law add column if not exists directory  text;         -- version
alter table casework.law add column if not exists bodies     text;         -- the directory itself
alter table casework.law add column if not exists competence text;         -- version
alter table casework.law add column if not exists rules      text;         -- the rules themselves

-- What the rules of competence say of each case as it was received: whose it is, beside the body that it names.
create table if not exists casework.routing (
    case_id   text   primary key,
    named     text   not null,                         -- who it is addressed to
    suggested text,                                    -- the one body that the rules name; null: none, or several
    rules     text[] not null,
    differs   boolean not null,                        -- the rules name one body, and it is another one
    law       bigint not null                          -- row of casework.law
);
create index if not exists routing_differs on casework.routing (case_id) where differs;
