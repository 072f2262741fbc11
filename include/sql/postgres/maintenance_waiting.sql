-- Who waits for a lock of one session for longer than a second, and lets readers or writers queue behind it?
-- PostgreSQL 14 or newer; needs pg_monitor.
-- A weaker lock than SHARE (of another vacuum, of CREATE INDEX CONCURRENTLY) may wait: nobody queues behind that one.
select
    concat('pid ', a.pid, ' of ', a.usename, ' (', coalesce(nullif(a.application_name, ''), 'no name'), ')') as who,
    extract(epoch from clock_timestamp() - l.waitstart)::float8 as waited_s
from pg_locks as l join pg_stat_activity as a on a.pid = l.pid
where not l.granted and l.locktype = 'relation' and l.waitstart < clock_timestamp() - interval '1 second'
  and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  and %(pid)s = any(pg_blocking_pids(l.pid))
order by l.waitstart
limit 1
