-- Who is in the database? Autovacuum (without a user) is not asked for: it goes by itself where a database is renamed.
select
    s.pid, s.usename::text as "user", coalesce(s.application_name, '') as application,
    coalesce(host(s.client_addr), '') as address, coalesce(s.state, '') as state, r.rolsuper as is_superuser
from pg_stat_activity s
join pg_roles r on r.oid = s.usesysid
where s.datname = %s
order by s.backend_start, s.pid
