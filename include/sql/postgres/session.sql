-- Where did this login really arrive: which database, as whom, on a primary, may it write, over TLS? (PostgreSQL 12+)
SELECT current_database() AS database,
       session_user::text AS "user",
       pg_is_in_recovery() AS in_recovery,
       EXISTS (
           SELECT FROM pg_settings
           WHERE name = 'default_transaction_read_only' AND setting = 'on'
             AND source NOT IN ('user', 'database user')  -- our own role is read only by design
       ) AS read_only,
       coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS tls,
       current_setting('server_version') AS version,
       pg_postmaster_start_time() AS started_at
