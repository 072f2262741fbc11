-- Which sequences are there, and which statement says how far one is: twice its last value, and one more if that was handed out?
-- One that goes round and round can be anywhere. An unlogged one cannot be read on a standby, whose dump lets it begin anew.
select
    quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name,
    case when c.relpersistence = 'u' and pg_is_in_recovery() then format('select %s::numeric * 2', s.seqstart)
    else format('select last_value::numeric * 2 + is_called::int from %I.%I', n.nspname, c.relname) end as asking
from pg_sequence s
join pg_class c on c.oid = s.seqrelid
join pg_namespace n on n.oid = c.relnamespace
where c.relpersistence <> 't' and not s.seqcycle
    and not exists (
        select from pg_depend d
        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
    )
order by c.oid
