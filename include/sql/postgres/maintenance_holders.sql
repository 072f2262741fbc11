-- Who keeps dead rows from being removed: open transactions, prepared ones, slots, replicas? PostgreSQL 14 or newer; needs pg_monitor.
select kind, who, age_xids, age_s from (
    select 'session' as kind,
        format('pid %s of %s (%s, %s)', pid, usename, coalesce(nullif(application_name, ''), 'no name'), state) as who,
        greatest(age(backend_xmin), age(backend_xid)) as age_xids,
        extract(epoch from clock_timestamp() - xact_start)::float8 as age_s
    from pg_stat_activity
    where (backend_xmin is not null or backend_xid is not null) and pid <> pg_backend_pid() and backend_type = 'client backend'
      and datname = current_database()
    union all
    select 'prepared transaction', format('%s of %s', gid, owner), age(transaction),
        extract(epoch from clock_timestamp() - prepared)::float8
    from pg_prepared_xacts where database = current_database()
    union all
    select 'replication slot', slot_name || case when active then '' else ' (not in use)' end,
        greatest(age(xmin), age(catalog_xmin)), null::float8
    from pg_replication_slots where xmin is not null or catalog_xmin is not null
    union all
    select 'replica', coalesce(nullif(application_name, ''), client_addr::text, 'unnamed'), age(backend_xmin), null::float8
    from pg_stat_replication where backend_xmin is not null
) as holding
order by age_xids desc nulls last, age_s desc nulls last
limit 5
