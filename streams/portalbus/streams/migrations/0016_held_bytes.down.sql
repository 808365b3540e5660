-- How many bytes are held is counted anew from ledger.waiting on the way forward.
alter table ledger.source drop column held_bytes;
