-- Which statement counts the rows of a table, and those whose newest version was committed after a moment? Largest last.
select
    quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name,
    coalesce(quote_ident(rn.nspname) || '.' || quote_ident(r.relname), quote_ident(n.nspname) || '.' || quote_ident(c.relname)) as root,
    format(
        'select count(*), count(*) filter (where pg_xact_commit_timestamp(xmin) > %%L) from only %%I.%%I',
        %s::timestamptz::text, n.nspname, c.relname
    ) as counting
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
left join pg_class r on r.oid = pg_partition_root(c.oid)
left join pg_namespace rn on rn.oid = r.relnamespace
where c.relkind = 'r' and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
order by pg_relation_size(c.oid), c.oid
