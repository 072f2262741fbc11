-- Of which objects does the schema consist, and how is each defined? One row an object: kind, identity, hash of its definition.
--
-- PostgreSQL writes some expressions differently once they were dumped and restored: `('a'::varchar)::text` for `'a'::varchar`.
-- Therefore casts, parentheses and white space do not count in expressions; everything else does. Owners stand by name and what they
-- may do is left out: a test restore has one owner. What extensions brought is theirs and stands as one line each in
-- backup_extensions.sql. What was dropped since the session's snapshot has no name any more (null).
with
of_extensions as (
    select classid, objid from pg_depend where deptype = 'e'
),
spaces as (
    select oid, nspname from pg_namespace n
    where nspname !~ '^pg_' and nspname <> 'information_schema'
        and not exists (select from of_extensions e where e.classid = 'pg_namespace'::regclass and e.objid = n.oid)
),
relations as (
    select c.*, quote_ident(s.nspname) || '.' || quote_ident(c.relname) as name
    from pg_class c join spaces s on s.oid = c.relnamespace
    where c.relpersistence <> 't'
        and not exists (select from of_extensions e where e.classid = 'pg_class'::regclass and e.objid = c.oid)
),
functions as (
    select p.*, quote_ident(s.nspname) || '.' || quote_ident(p.proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')' as name
    from pg_proc p join spaces s on s.oid = p.pronamespace
    where not exists (select from of_extensions e where e.classid = 'pg_proc'::regclass and e.objid = p.oid)
),
types as (
    select t.*, quote_ident(s.nspname) || '.' || quote_ident(t.typname) as name
    from pg_type t join spaces s on s.oid = t.typnamespace
    where (t.typtype in ('e', 'd', 'r') or (t.typtype = 'c' and (select relkind from pg_class where oid = t.typrelid) = 'c'))
        and not exists (select from of_extensions e where e.classid = 'pg_type'::regclass and e.objid = t.oid)
),
grants as (
    select 'relation' as kind, name, relowner as owner,
        coalesce(relacl, acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner)) as acl
    from relations where relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    union all
    select 'column', r.name || '.' || quote_ident(a.attname), r.relowner, a.attacl
    from relations r join pg_attribute a on a.attrelid = r.oid where a.attacl is not null and not a.attisdropped
    union all
    select 'function', name, proowner, coalesce(proacl, acldefault('f', proowner)) from functions
    union all
    select 'type', name, typowner, coalesce(typacl, acldefault('T', typowner)) from types
    union all
    select 'schema', quote_ident(nspname), nspowner, coalesce(nspacl, acldefault('n', nspowner))
    from pg_namespace where oid in (select oid from spaces) and nspname <> 'public'
),
objects (kind, name, definition) as (
    select 'schema', quote_ident(nspname), '' from spaces
    union all
    select case relkind when 'm' then 'materialized view' when 'v' then 'view' when 'f' then 'foreign table' else 'table' end, r.name,
        concat_ws(E'\n', relkind, relpersistence, array_to_string(reloptions, ','), relrowsecurity, relforcerowsecurity, relreplident,
            relispopulated, pg_get_expr(relpartbound, oid), case when relkind = 'p' then pg_get_partkeydef(oid) end,
            case when relkind in ('v', 'm') then pg_get_viewdef(oid) end,
            (select string_agg(inhparent::regclass::text, ',' order by inhseqno) from pg_inherits where inhrelid = r.oid),
            (
                select string_agg(
                    concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
                        a.attgenerated, a.attstorage, a.attcompression, array_to_string(a.attoptions, ','), a.attislocal,
                        case when a.attcollation <> t.typcollation then a.attcollation::regcollation::text end,
                        pg_get_expr(d.adbin, d.adrelid)),
                    E'\n' order by a.attname collate "C")
                from pg_attribute a
                join pg_type t on t.oid = a.atttypid
                left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
                where a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
            ))
    from relations r where relkind in ('r', 'p', 'v', 'm', 'f')
    union all
    select 'sequence', r.name,
        concat_ws(' ', format_type(s.seqtypid, null), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle, (
            select d.refobjid::regclass::text || '.' || a.attname
            from pg_depend d join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
            where d.classid = 'pg_class'::regclass and d.objid = r.oid and d.deptype in ('a', 'i') and d.refclassid = 'pg_class'::regclass
        ))
    from relations r join pg_sequence s on s.seqrelid = r.oid
    union all
    select 'index', r.name, pg_get_indexdef(r.oid) || i.indisclustered::text || i.indisreplident::text
    from relations r join pg_index i on i.indexrelid = r.oid where (i.indisvalid or r.relkind = 'I') and i.indisready
    union all
    select 'constraint', coalesce(r.name, t.name) || '.' || quote_ident(k.conname),
        pg_get_constraintdef(k.oid) || k.convalidated::text
    from pg_constraint k left join relations r on r.oid = k.conrelid left join types t on t.oid = k.contypid
    where coalesce(r.name, t.name) is not null
    union all
    select 'trigger', r.name || '.' || quote_ident(g.tgname), pg_get_triggerdef(g.oid) || g.tgenabled::text
    from pg_trigger g join relations r on r.oid = g.tgrelid where not g.tgisinternal
    union all
    select 'rule', r.name || '.' || quote_ident(u.rulename), pg_get_ruledef(u.oid) || u.ev_enabled::text
    from pg_rewrite u join relations r on r.oid = u.ev_class where u.rulename <> '_RETURN'
    union all
    select 'policy', r.name || '.' || quote_ident(p.polname),
        concat_ws(E'\n', p.polcmd, p.polpermissive, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid), (
            select string_agg(coalesce(o.rolname, 'PUBLIC'), ',' order by o.rolname)
            from unnest(p.polroles) as member left join pg_roles o on o.oid = member
        ))
    from pg_policy p join relations r on r.oid = p.polrelid
    union all
    select 'function', name, case prokind
        when 'a' then (
            select concat_ws(' ', format_type(prorettype, null), a.aggtransfn::regprocedure, a.aggfinalfn::regproc, format_type(a.aggtranstype, null), a.agginitval)
            from pg_aggregate a where a.aggfnoid = functions.oid
        )
        else pg_get_functiondef(oid) end
    from functions
    union all
    select 'type', name, concat_ws(E'\n', typtype, format_type(nullif(typbasetype, 0), typtypmod), typnotnull, typdefault,
        (select string_agg(enumlabel, ',' order by enumsortorder) from pg_enum where enumtypid = types.oid),
        (select concat_ws(' ', format_type(rngsubtype, null), rngcollation) from pg_range where rngtypid = types.oid),
        (
            select string_agg(quote_ident(attname) || ' ' || format_type(atttypid, atttypmod), ',' order by attnum)
            from pg_attribute where attrelid = types.typrelid and attnum > 0 and not attisdropped
        ))
    from types
    union all
    select 'operator', o.oid::regoperator::text, o.oprcode::regprocedure::text
    from pg_operator o join spaces s on s.oid = o.oprnamespace
    where not exists (select from of_extensions e where e.classid = 'pg_operator'::regclass and e.objid = o.oid)
    union all
    select 'statistics', quote_ident(s.nspname) || '.' || quote_ident(x.stxname), pg_get_statisticsobjdef(x.oid)
    from pg_statistic_ext x join spaces s on s.oid = x.stxnamespace
    union all
    select 'collation', quote_ident(s.nspname) || '.' || quote_ident(l.collname), concat_ws(' ', l.collprovider, l.collisdeterministic, l.collcollate)
    from pg_collation l join spaces s on s.oid = l.collnamespace
    where not exists (select from of_extensions e where e.classid = 'pg_collation'::regclass and e.objid = l.oid)
    union all
    select 'comment', i.type || ' ' || i.identity, d.description
    from pg_description d, pg_identify_object(d.classoid, d.objoid, d.objsubid) i
    where d.objoid >= 16384 and i.type <> 'extension'
        and not exists (select from of_extensions e where e.classid = d.classoid and e.objid = d.objoid)
        and d.classoid <> 'pg_event_trigger'::regclass and d.classoid <> 'pg_publication'::regclass
    union all
    select 'default privileges',
        concat_ws(' ', r.rolname, n.nspname, a.defaclobjtype),
        (
            select string_agg(concat_ws(' ', coalesce(g.rolname, 'PUBLIC'), x.privilege_type, x.is_grantable), ',' order by g.rolname, x.privilege_type)
            from aclexplode(a.defaclacl) x left join pg_roles g on g.oid = x.grantee
        )
    from pg_default_acl a join pg_roles r on r.oid = a.defaclrole left join pg_namespace n on n.oid = a.defaclnamespace
    union all
    select 'grants', g.kind || ' ' || g.name || ' to ' || coalesce(o.rolname, 'PUBLIC'),
        string_agg(concat_ws(' ', x.privilege_type, x.is_grantable), ',' order by x.privilege_type)
    from grants g cross join lateral aclexplode(g.acl) x left join pg_roles o on o.oid = x.grantee
    where x.grantee <> g.owner
    group by g.kind, g.name, o.rolname
    union all
    select 'owner', kind || ' ' || name, (select rolname from pg_roles where oid = owner)::text from grants
)
select kind, name, case kind when 'owner' then definition else md5(case
    when kind in ('comment', 'function', 'grants', 'default privileges') then definition
    else regexp_replace(
        regexp_replace(definition, '::("[^"]*"|[a-z0-9_]+)(\.("[^"]*"|[a-z0-9_]+))?( varying| precision| with time zone| without time zone)?(\(\d+(,\d+)?\))?(\[\])*', '', 'g'),
        '[()\s]', '', 'g')
end) end as hash
from objects
