drop index casework.deadline_day;

drop index ledger.case_answer;
create index case_answer on ledger.case using gin (
    search.answer(answer, reason_text),
    search.marks('', answered_by, regime, answer_language, field, (answered_at at time zone 'UTC')::date))
    where answer_public and answered_at is not null and (answer is not null or reason_text is not null);
drop function search.answer_words(text, text);
drop function search.pairs(text);
