-- Since when are the uses of indexes counted here, and how many replicas have counters of their own? PostgreSQL 14 or newer.
-- A receiver that only writes the log (pg_receivewal, Barman) replays nothing, and is no replica.
-- A server that was never reset counts at least since it was started: after a crash it begins anew.
select
    clock_timestamp() as at,
    current_database() as database,
    (select system_identifier::text from pg_control_system()) as system_identifier,
    pg_is_in_recovery() as in_recovery,
    coalesce(d.stats_reset, pg_postmaster_start_time()) as counted_since,
    (
        select count(*) from pg_stat_replication
        where state = 'streaming' and (write_lsn is null or replay_lsn is not null)
    ) as replicas
from pg_stat_database as d where d.datname = current_database()
