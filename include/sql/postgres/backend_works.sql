-- Does the server process of a session compute, read or write? One that waits for its client, or for somebody's lock, does not.
select exists (
    select from pg_stat_activity
    where pid = %s and state = 'active' and coalesce(wait_event_type, '') not in ('Client', 'Lock')
)
