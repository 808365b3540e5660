drop table push.ended;
