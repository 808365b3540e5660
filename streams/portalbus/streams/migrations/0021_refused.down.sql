-- Casework is folded anew by the release that comes back, as it counts refusals.
do $$
begin
    if exists (select from ledger.case where outcome = 'INSUFFICIENT_BASIS') then
        truncate casework.case, casework.handling, casework.deadline, casework.escalation, casework.ahead;
        update casework.place set position = 0, urgent = 0, law = 0;
    end if;
end
$$;
