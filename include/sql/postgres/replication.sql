-- Which replicas stream, and how far behind is each? (PostgreSQL 10+; needs pg_monitor)
-- The server tells no lag when nothing was sent for a while, and none before the first answer: only a replica that has
-- applied all there is has a lag of 0, of any other it is unknown.
-- A base backup and a receiver that only writes the log (pg_receivewal, Barman) apply nothing, and are no replicas. A replica that
-- has just connected told nothing yet, not what it wrote either.
SELECT application_name AS name,
       state,
       CASE
           WHEN replay_lag IS NOT NULL THEN extract(epoch FROM replay_lag)
           WHEN replay_lsn >= CASE
               WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
               ELSE pg_current_wal_lsn()
           END THEN 0
       END::float8 AS lag_s
FROM pg_stat_replication
WHERE state IS DISTINCT FROM 'backup' AND (write_lsn IS NULL OR replay_lsn IS NOT NULL)
