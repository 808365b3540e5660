-- What the centre says that is no judgement: a source is asked for events, an alert is raised. A notice takes its
-- position from the same order as judgements, in the transaction of what caused it, and the relay sends both in order.

create table ledger.notice (
    position bigint      primary key,
    topic    text        not null,
    key      text        not null,                     -- <agency>/<portal> where it is addressed to a source
    record   text        not null,                     -- name of the Avro record
    value    jsonb       not null,
    made_at  timestamptz not null
);
