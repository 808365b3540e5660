-- lost everything that was judged: select count(*) from ledger.event
-- lost what lanes were read: select count(*) from ledger.lane
drop table ledger.attempt, ledger.case, ledger.directive, ledger.directive_version, ledger.event, ledger.gap,
    ledger.judgement, ledger.lane, ledger.parked, ledger.position, ledger.relayed, ledger.source, ledger.waiting;
drop schema ledger;
