drop table if exists alerting.report;
