-- What does the database hold that no archive holds, or that a restore without superuser cannot bring back (`comes_back` is false)?
-- That comes with the template, or by hand.
with
of_extensions as (
    select classid, objid from pg_depend where deptype = 'e'
),
rights (classid, kind, oid, name, acl) as (
    select 'pg_proc'::regclass, 'function', oid, oid::regprocedure::text, proacl from pg_proc
    union all
    select 'pg_class'::regclass, 'relation', oid, oid::regclass::text, relacl from pg_class
    union all
    select 'pg_type'::regclass, 'type', oid, oid::regtype::text, typacl from pg_type
    union all
    select 'pg_namespace'::regclass, 'schema', oid, oid::regnamespace::text, nspacl from pg_namespace where nspname !~ '^pg_(toast|temp)'
    union all
    select 'pg_language'::regclass, 'language', oid, lanname::text, lanacl from pg_language
)
select 'event trigger' as kind, evtname::text as name, concat_ws(' ', evtevent, evtfoid::regproc, evtenabled, evttags::text) as definition,
    false as comes_back
from pg_event_trigger
union all
select 'publication', p.pubname::text, concat_ws(' ', p.pubowner::regrole, p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, (
    select string_agg(schemaname || '.' || tablename || coalesce(rowfilter, '') || coalesce(attnames::text, ''), ',' order by schemaname, tablename)
    from pg_publication_tables t where t.pubname = p.pubname
)), not p.puballtables and not r.rolsuper and not exists (select from pg_publication_namespace n where n.pnpubid = p.oid)
from pg_publication p join pg_roles r on r.oid = p.pubowner
union all
select 'subscription', subname::text, subowner::regrole::text, false
from pg_subscription where subdbid = (select oid from pg_database where datname = current_database())
union all
select 'security label', objtype || ' ' || objname, provider || ' ' || label, false from pg_seclabels where objtype not in ('database', 'role')
union all
select 'extension', e.extname::text, e.extversion, exists (
    select from pg_available_extension_versions v where v.name = e.extname and (v.trusted or not v.superuser)
)
from pg_extension e
union all
select 'rights on ' || r.kind, r.name, (select string_agg(item::text, ',' order by item::text) from unnest(r.acl) as item),
    r.name = 'public' and r.classid = 'pg_namespace'::regclass
from rights r
left join pg_init_privs i on i.classoid = r.classid and i.objoid = r.oid and i.objsubid = 0
where (r.oid < 16384 or exists (select from of_extensions e where e.classid = r.classid and e.objid = r.oid))
    and r.acl is distinct from i.initprivs
