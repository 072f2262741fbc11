-- Run as a superuser in `template1` and in every database that exists: a database that is made for a restore then has them
-- already, and the role that restores needs no superuser to create them.
create extension if not exists pg_stat_statements;
create extension if not exists pgstattuple;
create extension if not exists amcheck;
