-- lost accounts of the console: select count(*) from console.account
-- lost who is logged in: select count(*) from console.session
-- lost what was done in the console: select count(*) from console.action
drop index ledger.event_refused;
drop index ledger.case_answered;
drop index ledger.case_answer;
drop index ledger.version_relations;
drop index ledger.directive_field;
drop index ledger.directive_issued;
drop index ledger.directive_number;
drop index ledger.directive_search;
create index directive_search on ledger.directive using gin (search);

drop function search.answer(text, text);
drop function search.marks(text, text, text, text, text, date);
drop function search.fold(text);
drop schema search;

drop table console.action;
drop table console.session;
drop table console.account;
drop schema console;
