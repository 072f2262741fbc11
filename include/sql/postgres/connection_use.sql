-- How many of the sessions that ordinary roles may open are taken? (PostgreSQL 12+; needs pg_monitor to see all)
SELECT count(*) AS used,
       count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS idle_in_transaction,
       count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting_for_locks,
       current_setting('max_connections')::int
           - current_setting('superuser_reserved_connections')::int
           - coalesce(current_setting('reserved_connections', true)::int, 0) AS most
FROM pg_stat_activity
WHERE backend_type = 'client backend'
