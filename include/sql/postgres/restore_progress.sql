-- How large has the database become, and does a session of the restore compute? One that waits for its client does not.
select
    pg_database_size(current_database()) as bytes,
    exists (
        select from pg_stat_activity
        where datname = current_database() and application_name = 'backup restore' and state = 'active'
            and wait_event_type is distinct from 'Client'
    ) as works
