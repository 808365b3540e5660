-- Answers in Chinese, Japanese and Korean are found too: see docs/adr/0037-answers-in-every-script.md. And which answers
-- are due on a day.
--
-- The functions have names of their own: a rebuild runs migration 0010 once more beside the live ledger, and would give
-- search.answer its old body back while the live index uses it. That function stays for central portals of the version
-- before, which are replaced after the database: they find what they found, more slowly.

-- The overlapping pairs of the runs of characters that are written without spaces, as schemas/search_text.py cuts them; a
-- character that stands alone is a word. Letters lose what NFKD takes off them; kana and hangul are put together again.
create or replace function search.pairs(text) returns text
language sql immutable strict parallel safe cost 1000
return (
    with plain as (
        select regexp_replace(normalize(regexp_replace(
            normalize(normalize(translate($1, E'\uFF9E\uFF9F', ''), NFKC), NFD), '[\u0300-\u036f]+', '', 'g'), NFC),
            '[\u302a-\u302f\u3099\u309a]+', '', 'g') as text
    ), run as (
        select string_to_array(found[1], null) as c from plain, regexp_matches(plain.text,
            '[\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af]+|\u3007+', 'g') found
    )
    select coalesce(string_agg(
        case when c[1] = E'\u3007' then array_to_string(c, '') when cardinality(c) = 1 then c[1] else (
            select string_agg(c[i] || c[i + 1], ' ') from generate_series(1, cardinality(c) - 1) i) end, ' '), '')
    from run
);

-- A public answer as it is found: Latin words folded, and pairs where there is anything to cut.
create or replace function search.answer_words(answer text, reason text) returns tsvector
language plpgsql immutable parallel safe cost 1000 as $$
declare
    said text := coalesce(answer, '') || ' ' || coalesce(reason, '');
begin
    if said ~ '[\u1100-\u11ff\u3000-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]' then
        return strip(to_tsvector('simple', search.fold(said) || ' ' || search.pairs(said)));
    end if;
    return strip(to_tsvector('simple', search.fold(said)));
end $$;

-- the version before goes on: without its index it finds the same, more slowly
drop index ledger.case_answer;
create index case_answer on ledger.case using gin (
    search.answer_words(answer, reason_text),
    search.marks('', answered_by, regime, answer_language, field, (answered_at at time zone 'UTC')::date))
    where answer_public and answered_at is not null and (answer is not null or reason_text is not null);

-- Of one day's answers: whose they are and how they stand, without reading the rows.
create index if not exists deadline_day on casework.deadline (due_on, agency, state) where duty = 'ANSWER';
