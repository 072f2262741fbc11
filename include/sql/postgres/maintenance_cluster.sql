-- What of the server as a whole bounds the work: transaction age, the longest transaction, the sessions of earlier tries?
-- PostgreSQL 14 or newer; needs pg_monitor.
select
    (select max(age(datfrozenxid)) from pg_database where datname = current_database()) as xid_age,
    (select max(mxid_age(datminmxid)) from pg_database where datname = current_database()) as multixact_age,
    coalesce((
        select max(extract(epoch from clock_timestamp() - xact_start)) from pg_stat_activity
        where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
          and (backend_xid is not null or backend_xmin is not null)
    ), 0)::float8 as longest_transaction_s,
    (
        select count(*) from pg_stat_activity
        where application_name = %(application)s and pid <> pg_backend_pid() and state <> 'idle'
    ) as at_work
