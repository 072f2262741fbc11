-- What belongs to the database itself and would be lost by an empty `create database`?
select
    pg_encoding_to_char(d.encoding) as encoding,
    d.datcollate as collate,
    d.datctype as ctype,
    d.datlocprovider::text as provider,
    coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') as locale,
    o.rolname as owner,
    d.datconnlimit as connection_limit,
    coalesce((
        select jsonb_agg(setting order by setting)
        from pg_db_role_setting s, unnest(s.setconfig) as setting
        where s.setdatabase = d.oid and s.setrole = 0
    ), '[]') as settings,
    coalesce((
        select jsonb_agg(jsonb_build_array(r.rolname, setting) order by r.rolname, setting)
        from pg_db_role_setting s join pg_roles r on r.oid = s.setrole, unnest(s.setconfig) as setting
        where s.setdatabase = d.oid
    ), '[]') as role_settings,
    coalesce((
        select jsonb_agg(jsonb_build_array(coalesce(g.rolname, 'PUBLIC'), a.privilege_type, a.is_grantable) order by g.rolname, a.privilege_type)
        from aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
        left join pg_roles g on g.oid = a.grantee
    ), '[]') as grants,
    shobj_description(d.oid, 'pg_database') as comment
from pg_database d
join pg_roles o on o.oid = d.datdba
where d.datname = current_database()
