-- What belongs to the database itself and would be lost by an empty `create database`?
select
    pg_encoding_to_char(d.encoding) as encoding,
    d.datcollate as collate,
    d.datctype as ctype,
    d.datlocprovider::text as provider,
    o.rolname as owner,
    d.datconnlimit as connection_limit,
    coalesce((
        select jsonb_agg(setting order by setting)
        from pg_db_role_setting s, unnest(s.setconfig) as setting
        where s.setdatabase = d.oid and s.setrole = 0
    ), '[]') as settings,
    coalesce((
        select jsonb_agg(jsonb_build_array(coalesce(g.rolname, 'PUBLIC'), a.privilege_type) order by g.rolname, a.privilege_type)
        from aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
        left join pg_roles g on g.oid = a.grantee
    ), '[]') as grants
from pg_database d
join pg_roles o on o.oid = d.datdba
where d.datname = current_database()
