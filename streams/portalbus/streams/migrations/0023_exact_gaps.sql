-- Every gap is listed by itself: one that stood for several, with `missing` of its range, falls into what it stood for.
create temporary table merged on commit drop as select * from ledger.gap where missing < last - first + 1;
delete from ledger.gap g using merged m
where g.agency = m.agency and g.portal = m.portal and g.epoch = m.epoch and g.first = m.first;
insert into ledger.gap (agency, portal, epoch, first, last, opened_at, missing, state, hold_until, asked, ask_at)
select agency, portal, epoch, after + 1, before - 1, opened_at, before - after - 1, state, hold_until, asked,
       case state when 'open' then now() end
from (
    select m.*, p.sequence as after, lead(p.sequence) over (
        partition by m.agency, m.portal, m.epoch, m.first order by p.sequence) as before
    from merged m cross join lateral (
        select m.first - 1 as sequence union select m.last + 1
        union select e.sequence from ledger.event e
        where e.agency = m.agency and e.portal = m.portal and e.epoch = m.epoch
          and e.sequence between m.first and m.last and e.rule not in ('source.blocked', 'lane.agency-mismatch')
        union select k.sequence from ledger.parked k
        where k.agency = m.agency and k.portal = m.portal and k.epoch = m.epoch
          and k.sequence between m.first and m.last) p) holes
where before > after + 1;
