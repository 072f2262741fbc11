-- What may this login do that a role which only looks has no business doing? From PostgreSQL 14.
select 'superuser' as may
  from pg_roles where rolname = current_user and rolsuper
union all
select 'create databases or roles'
  from pg_roles where rolname = current_user and (rolcreatedb or rolcreaterole)
union all
select format('write %I.%I', n.nspname, c.relname)
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p')
   and n.nspname not in ('pg_catalog', 'information_schema', 'ops_probe')
   and n.nspname !~ '^pg_(toast|temp)'
   and has_schema_privilege(n.oid, 'USAGE')
   and has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
