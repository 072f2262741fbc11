-- Which server is this, may it be written, how late is it there, and how much may its log take of the disk beside a restore?
select
    (select system_identifier::text from pg_control_system()) as system_identifier,
    pg_is_in_recovery() as in_recovery,
    clock_timestamp() as now,
    current_setting('server_version_num')::int / 10000 as major,
    pg_size_bytes(current_setting('max_wal_size')) as wal_bytes
