-- Where did the backup's login arrive, and can it be backed up from there? PostgreSQL 14 or newer.
-- A standby that has replayed all that it got is on time only while it gets more: without its primary it does not know.
select
    current_database() as database,
    (select system_identifier::text from pg_control_system()) as system_identifier,
    current_setting('server_version') as server_version,
    current_setting('server_version_num')::int / 10000 as major,
    pg_is_in_recovery() as in_recovery,
    current_setting('ssl') = 'on' as offers_tls,
    coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false) as uses_tls,
    clock_timestamp() as now,
    case
        when not pg_is_in_recovery() then 0
        when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() and exists (select from pg_stat_wal_receiver) then 0
        else coalesce(extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()), 'infinity')
    end::float8 as lag_s,
    pg_database_size(current_database()) as database_bytes
