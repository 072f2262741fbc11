-- Which indexes are there, which of them can be used, and which look like the leftover of a rebuild? PostgreSQL 14 or newer.
-- A leftover has the name of an index of the same table, `_ccnew` or `_ccold` behind it, and the same definition.
select
    i.indexrelid::bigint as oid,
    n.nspname as schema,
    c.relname as name,
    t.relname as table_name,
    t.oid::bigint as table_oid,
    pg_relation_size(i.indexrelid) as bytes,
    a.amname as method,
    i.indisvalid and i.indisready as valid,
    i.indisexclusion as exclusion,
    i.indisunique as is_unique,
    coalesce((
        select b.relname from pg_index as bi join pg_class as b on b.oid = bi.indexrelid
        where bi.indrelid = i.indrelid and bi.indexrelid <> i.indexrelid
          and b.relnamespace = c.relnamespace
          and c.relname ~ '_cc(new|old)[0-9]*$'
          and left(b.relname, 52) = left(regexp_replace(c.relname, '_cc(new|old)[0-9]*$', ''), 52)
          and replace(pg_get_indexdef(bi.indexrelid), quote_ident(b.relname) || ' ON ', ' ON ')
            = replace(pg_get_indexdef(i.indexrelid), quote_ident(c.relname) || ' ON ', ' ON ')
        limit 1
    ), '') as leftover_of,
    coalesce(substring(array_to_string(c.reloptions, ',') from 'fillfactor=([0-9]+)')::int, 90) as fillfactor,
    pg_get_indexdef(i.indexrelid) as definition,
    has_schema_privilege(n.oid, 'usage') as reachable
from pg_index as i
join pg_class as c on c.oid = i.indexrelid
join pg_class as t on t.oid = i.indrelid
join pg_namespace as n on n.oid = c.relnamespace
join pg_am as a on a.oid = c.relam
where c.relkind = 'i' and c.relpersistence <> 't'
  and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'
order by n.nspname, c.relname
