-- How much has been written to the log in all, and how far is the slowest replica behind? PostgreSQL 10 or newer; needs pg_monitor.
-- A replica that stands still tells no lag: then what it has not replayed counts, a second for each 16 MiB.
-- A base backup and a receiver that only writes the log (pg_receivewal, Barman) replay nothing, and are no replicas.
select
    pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint as wal_bytes,
    coalesce(max(greatest(
        extract(epoch from replay_lag), pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(replay_lsn, '0/0')) / 16777216
    )), 0)::float8 as lag_s
from pg_stat_replication
where state is distinct from 'backup' and (write_lsn is null or replay_lsn is not null)
