-- The texts of diverted cases do not come back: a rebuild by the older code writes them from the lanes.
drop index ledger.case_urgent;
create index case_urgent on ledger.case (position) where urgency = 'URGENT';
alter table ledger.case drop column urgent;
alter table ledger.case drop column diverted;

drop table casework.routing;
alter table casework.law drop column rules, drop column competence, drop column bodies, drop column directory;
alter table casework.place drop column fold;

-- The older code folds lives of its own form.
truncate casework.case, casework.handling, casework.deadline, casework.escalation, casework.ahead;
update casework.place set position = 0, urgent = 0, law = 0;
