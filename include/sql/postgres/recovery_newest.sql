-- Which statement tells how many rows a table has, and when the newest came? For tables with a column `created_at`.
select
    c.oid::regclass::text as name,
    format('select count(*), max(created_at) from %I.%I', n.nspname, c.relname) as asking
from pg_class c join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attname = 'created_at' and a.atttypid = 'timestamptz'::regtype and not a.attisdropped
where c.relkind in ('r', 'p') and not c.relispartition and n.nspname !~ '^pg_'
order by name
