-- Which tables of all schemas could need a vacuum or new statistics, by what the server counts? PostgreSQL 14 or newer.
-- Addressed by id, so that no name has to be quoted; of a partitioned table only the statistics are its own.
select
    c.oid::bigint as oid,
    n.nspname as schema,
    c.relname as name,
    c.relkind = 'p' as partitioned,
    pg_table_size(c.oid) as bytes,
    greatest(c.reltuples, 0)::float8 as rows,
    coalesce(s.n_live_tup, 0) as live,
    coalesce(s.n_dead_tup, 0) as dead,
    coalesce(s.n_mod_since_analyze, 0) as changed,
    greatest(s.last_vacuum, s.last_autovacuum) as vacuumed_at,
    greatest(s.last_analyze, s.last_autoanalyze) as analyzed_at,
    case when c.relkind = 'p' then 0 else age(c.relfrozenxid) end as frozen_age,
    has_schema_privilege(n.oid, 'usage') as reachable
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
left join pg_stat_all_tables as s on s.relid = c.oid
where c.relkind in ('r', 'm', 'p') and c.relpersistence <> 't'
  and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'
order by n.nspname, c.relname
