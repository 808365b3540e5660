-- All but the law is a fold of the ledger, and folded again on the way forward.
-- lost by which calendar and regimes deadlines were reckoned: select count(*) from casework.law
drop index ledger.case_urgent;
drop table casework.ahead, casework.scouted, casework.escalation, casework.deadline, casework.handling, casework.case,
    casework.law, casework.place;
drop schema casework;
