-- Under which name can other sessions read what this one sees, and what is the newest thing in it?
select
    pg_export_snapshot() as snapshot,
    clock_timestamp() as taken_at,
    (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end)::text as lsn,
    case
        when pg_is_in_recovery() then pg_last_xact_replay_timestamp()
        when current_setting('track_commit_timestamp') = 'on' then (pg_last_committed_xact()).timestamp
    end as last_commit_at
