-- How many bytes of a source's values are held behind its gaps: see docs/adr/0012-gaps.md.
alter table ledger.source add column held_bytes bigint not null default 0;
update ledger.source set held_bytes = (
    select coalesce(sum(length(value)), 0) from ledger.waiting w
    where w.agency = source.agency and w.key = 'source:' || source.agency || '/' || source.portal)
where held > 0;
