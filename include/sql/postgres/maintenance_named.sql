-- What is left of the relation of one name: its size and dead rows, now? No row if it is gone. PostgreSQL 14 or newer.
select pg_relation_size(c.oid) as bytes,
    coalesce(pg_stat_get_dead_tuples(c.oid), 0) as dead,
    coalesce(pg_stat_get_mod_since_analyze(c.oid), 0) as changed,
    age(nullif(c.relfrozenxid, '0'::xid)) as frozen_age,
    coalesce((select i.indisvalid from pg_index as i where i.indexrelid = c.oid), true) as valid
from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
where n.nspname = %(schema)s and c.relname = %(name)s
