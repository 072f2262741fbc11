-- What did each statement of this database cost since the statistics were reset? PostgreSQL 14 to 16 (pg_stat_statements 1.9 or 1.10).
-- Only whole statements of the application: not what functions ran inside, not utility commands, not our own roles.
select
    s.queryid::text as queryid,
    r.rolname::text as role,
    left(regexp_replace(s.query, '\s+', ' ', 'g'), 400) as query,
    s.calls,
    s.total_exec_time as total_ms,
    s.max_exec_time as max_ms,
    s.rows,
    s.shared_blks_read as blocks_read,
    s.temp_blks_written as temp_blocks,
    null::timestamptz as counted_since
from pg_stat_statements as s join pg_roles as r on r.oid = s.userid
where s.dbid = (select oid from pg_database where datname = current_database())
  and s.toplevel and s.queryid is not null and r.rolname::text <> all (%(own_roles)s::text[])
  and s.query ~* '^\s*(/\*.*\*/\s*)?(with|select|insert|update|delete|merge)\M'
