-- The console: who may log in, who is logged in, and what was done by whom and why. It decides about the ledger and is no
-- fold of it. And what search needs: see docs/adr/0027-the-console.md.
--
-- A rebuild runs every migration once more for its shadow; what lies outside of the ledger is made where it is missing.

create schema if not exists console;

-- agency null: the centre, which sees every agency.
create table if not exists console.account (
    name       text        primary key,
    password   text        not null,                   -- hash with its parameters
    agency     text,
    created_at timestamptz not null default now(),
    revoked_at timestamptz
);

create table if not exists console.session (
    token_hash bytea       primary key,                -- SHA-256: who reads this table cannot log in with it
    account    text        not null references console.account on delete cascade,
    began_at   timestamptz not null default now(),
    seen_at    timestamptz not null default now()
);

-- Every action, also one that came to nothing. `outcome` is null while it is under way, or when its process ended in it.
create table if not exists console.action (
    id       bigint      generated always as identity primary key,
    account  text        not null,
    agency   text        not null,
    what     text        not null check (what in ('redrive', 'discard', 'close-gap', 'ask', 'reconcile')),
    about    jsonb       not null,                     -- what it was about: lane_offset; portal, epoch, first, last
    why      text        not null,
    at       timestamptz not null default now(),
    ended_at timestamptz,
    outcome  text,
    figures  jsonb                                     -- what belongs to the outcome: numbers, a rule
);
create index if not exists action_agency on console.action (agency, id desc);

-- Search. The functions stay out of the ledger's schema, because an exchange of the ledger's tables drops the old one.
create schema if not exists search;

-- Latin text as schemas/search_text.py folds it; other scripts are left out.
create or replace function search.fold(text) returns text
language sql immutable strict parallel safe
return btrim(regexp_replace(lower(translate(
    regexp_replace(normalize($1, NFKD), '[\u0300-\u036f]+', '', 'g'), 'đĐ', 'dd')), '[^a-z0-9]+', ' ', 'g'));

-- What narrows a search, as words that no text has: whose (#a), of which type (#t), language (#l), field (#f) and thirty
-- days (#m, counted from 1900), and the words of the title (~). In one index with the text, whatever narrows also saves
-- reading.
create or replace function search.marks(titled text, agency text, kind text, language text, field text, day date)
returns tsvector language plpgsql immutable parallel safe cost 1000 as $$
begin
    return array_to_tsvector(array[
        '#a' || split_part(coalesce(agency, ''), '.', 1), '#t' || kind, '#l' || lower(coalesce(language, '')),
        '#f' || md5(coalesce(field, '')),
        '#m' || (day - date '1900-01-01') / 30
    ] || string_to_array('~' || replace(search.fold(titled), ' ', ' ~'), ' '));
end $$;

-- A public answer as it is found.
create or replace function search.answer(answer text, reason text) returns tsvector
language plpgsql immutable parallel safe cost 1000 as $$
begin
    return to_tsvector('simple', search.fold(coalesce(answer, '') || ' ' || coalesce(reason, '')));
end $$;

drop index if exists ledger.directive_search;
create index directive_search on ledger.directive using gin (
    search, search.marks(number || ' ' || title, agency, document_type, language, field, issued_on));
create index directive_number on ledger.directive (search.fold(number) text_pattern_ops) where number <> '';
create index directive_issued on ledger.directive (issued_on);
create index directive_field on ledger.directive (field) where field is not null;
-- Who republishes, amends or relates to what.
create index version_relations on ledger.directive_version using gin ((document->'relations') jsonb_path_ops)
    where document->'relations' <> '[]';

create index case_answer on ledger.case using gin (
    search.answer(answer, reason_text),
    search.marks('', answered_by, regime, answer_language, field, (answered_at at time zone 'UTC')::date))
    where answer_public and answered_at is not null and (answer is not null or reason_text is not null);
create index case_answered on ledger.case (((answered_at at time zone 'UTC')::date))
    where answer_public and answered_at is not null and (answer is not null or reason_text is not null);

-- The newest refusals of an agency, without walking through what was accepted.
create index event_refused on ledger.event (agency, lane_offset) where status = 'REJECTED';
