create table ledger.attempt (
    agency      text primary key,
    lane_offset bigint  not null,
    last_offset bigint  not null,
    attempts    integer not null
);
