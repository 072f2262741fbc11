-- How far can the counters of the statements be believed: since when do they count, and how many were thrown out? PostgreSQL 14 or newer.
select
    clock_timestamp() as at,
    current_database() as database,
    current_setting('server_version_num')::int / 10000 as major,
    coalesce((select extversion from pg_extension where extname = 'pg_stat_statements'), '') as extension,
    i.stats_reset as reset_at,
    i.dealloc as thrown_out
from pg_stat_statements_info as i
