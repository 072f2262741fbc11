-- Which roles does the server have, what may they do, whose members are they, and what is set for them? Without passwords.
select
    r.rolname as name,
    jsonb_build_object(
        'superuser', r.rolsuper, 'inherit', r.rolinherit, 'createrole', r.rolcreaterole, 'createdb', r.rolcreatedb,
        'login', r.rolcanlogin, 'replication', r.rolreplication, 'bypassrls', r.rolbypassrls,
        'connection_limit', r.rolconnlimit, 'settings', to_jsonb(r.rolconfig),
        'member_of', (
            select jsonb_agg(g.rolname order by g.rolname)
            from pg_auth_members m join pg_roles g on g.oid = m.roleid where m.member = r.oid
        )
    ) as attributes
from pg_roles r
where r.rolname !~ '^pg_'
order by r.rolname
