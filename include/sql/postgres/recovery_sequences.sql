-- Which statement tells whether a sequence is behind the column that it numbers? One that goes round, or down, can be anywhere.
select
    quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name,
    format(
        'select last_value < (select coalesce(max(%I), last_value) from %I.%I) from %I.%I',
        a.attname, tn.nspname, t.relname, n.nspname, c.relname
    ) as asking
from pg_sequence s
join pg_class c on c.oid = s.seqrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i') and d.refobjsubid > 0
join pg_class t on t.oid = d.refobjid
join pg_namespace tn on tn.oid = t.relnamespace
join pg_attribute a on a.attrelid = t.oid and a.attnum = d.refobjsubid
where not s.seqcycle and s.seqincrement > 0 and a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
order by name
