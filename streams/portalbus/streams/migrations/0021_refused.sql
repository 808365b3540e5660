-- What was found to have too little to go on counts as refused: casework is folded anew where there is such a case. In the
-- shadow of a rebuild there is none.
-- the version before goes on: what is emptied is folded from the ledger, by whichever version runs
do $$
begin
    if exists (select from ledger.case where outcome = 'INSUFFICIENT_BASIS') then
        truncate casework.case, casework.handling, casework.deadline, casework.escalation, casework.ahead;
        update casework.place set position = 0, urgent = 0, law = 0;
    end if;
end
$$;
