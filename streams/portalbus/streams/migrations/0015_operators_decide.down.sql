-- Sources stay blocked as they are: their status is older. The version before knows no command to let them speak again.
-- lost who blocked sources, and why: select count(*) from ledger.source_blocking
-- lost who closed alerts, and why: select count(*) from ledger.alert where closed_by is not null
-- lost what was done in the console about cases and sources: select count(*) from console.action where what in ('assign', 'block', 'unblock')
drop table ledger.source_blocking;

alter table ledger.alert drop column closed_by, drop column closed_why;

delete from console.action where what in ('assign', 'block', 'unblock');
alter table console.action drop constraint action_known;
alter table console.action add constraint action_what_check
    check (what in ('redrive', 'discard', 'close-gap', 'ask', 'reconcile'));
