-- Answers that the public may see, children of a split, and what persons decided about cases nobody else may decide:
-- see docs/adr/0031-who-decides-and-what-is-shown.md.

-- A public answer is shown once the centre published it, or when the time in which the centre may return it is over.
alter table ledger.case add column answer_heard_at     timestamptz;   -- lane time of the public answer that stands
alter table ledger.case add column answer_published_at timestamptz;   -- lane time of the centre's step that published it

update ledger.case c set answer_heard_at = answered.received_at,
    answer_published_at = (
        select min(s.received_at) from ledger.case_step s
        where s.case_id = c.case_id and s.step = 'PUBLISHED' and s.agency = 'G22' and s.position > answered.position)
from (
    select distinct on (key) key, received_at, position from ledger.event
    where event_type = 'FeedbackResolved' and status = 'ACCEPTED' order by key, position desc
) answered
where answered.key = c.case_id and c.answer_public;

-- The time in which the centre may return an answer, as the workers were started with: readers ask here.
create table ledger.review (
    one     boolean  primary key default true check (one),
    lasts   interval not null
);

create function ledger.review_time() returns interval language sql stable parallel safe as $$
    select coalesce((select lasts from ledger.review), interval '24 hours')
$$;

-- What was judged before was judged without such a time: a rebuild judges it so again.
update ledger.judging set bounds = bounds || '{"review": 3153600000}' where not bounds ? 'review';

-- Up to which lane time answers are shown: not before everything that the centre said until then was heard. A centre whose
-- lane is not heard is waited for 15 minutes. Without a time for returning them answers are shown at once.
create function ledger.shown_upto() returns timestamptz language sql stable parallel safe as $$
    select case when lasts = interval '0' then timestamptz 'infinity'
        else least(now(), greatest(now() - interval '15 minutes', coalesce(
            (select heard_until from ledger.hearing where agency = 'G22'), now()))) - lasts end
    from ledger.review_time() lasts
$$;

-- Of which case a case is a part.
create index case_split on ledger.case_step using gin ((document->'children') jsonb_ops) where step = 'SPLIT';

-- Who decided where a case goes, and why; the step itself is on the centre's lane, under this event id.
create table ledger.case_decision (
    id         bigint      generated always as identity primary key,
    case_id    text        not null,
    event_id   uuid        not null unique,
    from_agency text       not null,                   -- who had it
    to_agency  text        not null,
    decided_by text        not null,
    why        text        not null,
    decided_at timestamptz not null default now()
);
create index case_decided on ledger.case_decision (case_id, id desc);

-- Cases that only a person may move on: open ones by their owner, and transfers that were refused.
create index case_open on ledger.case (owner) where state = 'RECEIVED';
create index event_transfer_refused on ledger.event (key)
    where status = 'REJECTED' and rule in ('case.transfer-loop', 'case.too-many-transfers', 'case.transfer-to-several');
