-- Which foreign keys have no index that begins with their columns: a delete in the other table then reads all of this one?
-- PostgreSQL 14 or newer.
select
    n.nspname as schema,
    t.relname as table_name,
    k.conname as name,
    k.confrelid::regclass::text as refers_to,
    array(
        select a.attname from unnest(k.conkey) with ordinality as u (attnum, place)
        join pg_attribute as a on a.attrelid = k.conrelid and a.attnum = u.attnum order by u.place
    ) as columns,
    greatest(t.reltuples, 0)::float8 as rows,
    pg_table_size(t.oid) as bytes,
    t.relkind = 'p' as partitioned
from pg_constraint as k
join pg_class as t on t.oid = k.conrelid
join pg_namespace as n on n.oid = t.relnamespace
where k.contype = 'f' and k.conparentid = 0
  and not exists (
    select from pg_index as i
    where i.indrelid = k.conrelid and i.indisvalid and i.indpred is null and i.indnkeyatts >= cardinality(k.conkey)
      and (array(select unnest(i.indkey::int2[])))[1:cardinality(k.conkey)] @> k.conkey
  )
order by t.reltuples desc, n.nspname, t.relname, k.conname
