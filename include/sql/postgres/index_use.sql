-- How is each index used, and what keeps it from being dropped? PostgreSQL 14 or newer (from 16 on it is told when it was last used).
-- `columns`, `operators` and `condition` are equal of two indexes that do the same.
select
    i.indexrelid::bigint as oid,
    n.nspname as schema,
    c.relname as name,
    t.relname as table_name,
    pg_relation_size(i.indexrelid) as bytes,
    coalesce(s.idx_scan, 0) as scans,
    (to_jsonb(s) ->> 'last_idx_scan')::timestamptz as last_used_at,
    a.amname as method,
    i.indisvalid as valid,
    i.indisunique as is_unique,
    i.indisprimary as is_primary,
    i.indisreplident or (i.indisprimary and t.relreplident = 'd') as replica_identity,
    i.indisclustered as clustered,
    c.relispartition or c.relkind = 'I' as of_partitions,
    exists (select from pg_constraint as k where k.conindid = i.indexrelid) as constrained,
    (array(select unnest(i.indkey::int2[])))[1:i.indnkeyatts]::int[] as columns,
    (i.indclass::text || '/' || i.indcollation::text || '/' || i.indoption::text) as operators,
    coalesce(pg_get_expr(i.indpred, i.indrelid), '') || '/' || coalesce(pg_get_expr(i.indexprs, i.indrelid), '') as condition,
    i.indnatts > i.indnkeyatts as includes,
    exists (
        select from pg_constraint as k
        where k.contype = 'f' and k.conrelid = i.indrelid and i.indpred is null
          and (array(select unnest(i.indkey::int2[])))[1:cardinality(k.conkey)] @> k.conkey
          and i.indnkeyatts >= cardinality(k.conkey)
    ) as serves_foreign_key,
    pg_get_indexdef(i.indexrelid) as definition
from pg_index as i
join pg_class as c on c.oid = i.indexrelid
join pg_class as t on t.oid = i.indrelid
join pg_namespace as n on n.oid = c.relnamespace
join pg_am as a on a.oid = c.relam
left join pg_stat_all_indexes as s on s.indexrelid = i.indexrelid
where n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'
order by n.nspname, c.relname
