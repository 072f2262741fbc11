-- Which of these databases are there, how is each, and may a role act as its owner? PostgreSQL 14 or newer; from any database.
select
    d.datname as name,
    d.oid::int8 as oid,
    o.rolname as owner,
    pg_has_role(%(actor)s::name, d.datdba, 'usage') as is_ours_to_change,
    pg_encoding_to_char(d.encoding) as encoding,
    d.datcollate as collate,
    d.datctype as ctype,
    d.datlocprovider::text as provider,
    coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') as locale,
    d.datconnlimit as connection_limit,
    d.datallowconn as allow_connections,
    coalesce((
        select array_agg(coalesce(r.rolname || ': ', '') || setting order by r.rolname, setting)
        from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole, unnest(s.setconfig) as setting
        where s.setdatabase = d.oid
    ), array[]::text[]) as settings,
    coalesce(d.datacl::text[], array[]::text[]) as grants,
    shobj_description(d.oid, 'pg_database') as comment,
    case
        when has_database_privilege(d.oid, 'connect') or pg_has_role('pg_read_all_stats', 'usage') then pg_database_size(d.oid)
    end as bytes
from pg_database d
join pg_roles o on o.oid = d.datdba
where d.datname = any(%(names)s)
