-- Is this server empty, how old is it, and what may our role do there? PostgreSQL 14 or newer.
-- Databases of a proof that runs at the same time, or was killed, are ours and no content.
select
    current_setting('server_version_num')::int / 10000 as major,
    array(
        select datname::text from pg_database
        where datname not in ('postgres', 'template0', 'template1', current_database()) and not starts_with(datname, 'verify_')
        order by datname
    ) as databases,
    (
        select count(*)::int from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'm', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
            and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
    ) as tables,
    array(select rolname::text from pg_roles) as roles,
    me.rolcreatedb as makes_databases,
    me.rolcreaterole as makes_roles
from pg_roles me where me.rolname = current_user
