-- Which replicas stream, and how far behind is each? (PostgreSQL 10+; needs pg_monitor)
SELECT application_name AS name,
       state,
       coalesce(extract(epoch FROM replay_lag), 0)::float8 AS lag_s
FROM pg_stat_replication
