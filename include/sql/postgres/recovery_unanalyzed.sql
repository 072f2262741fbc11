-- Which tables has nobody looked at for the planner since they were filled? (That pg_class counts their rows says nothing: an index does.)
select c.oid::regclass::text as name
from pg_class c join pg_namespace n on n.oid = c.relnamespace left join pg_stat_all_tables s on s.relid = c.oid
where c.relkind in ('r', 'm') and coalesce(s.last_analyze, s.last_autoanalyze) is null
    and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
order by name
