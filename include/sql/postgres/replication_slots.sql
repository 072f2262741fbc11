-- Which slots keep write-ahead log, and how much? (PostgreSQL 10+; on a primary)
SELECT slot_name::text AS name,
       active,
       coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::float8 AS retained_bytes
FROM pg_replication_slots
