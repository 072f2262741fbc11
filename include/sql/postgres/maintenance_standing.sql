-- What is left of one relation: its name, size and dead rows, now? No row if it is gone. PostgreSQL 14 or newer.
select n.nspname as schema, c.relname as name, pg_relation_size(c.oid) as bytes,
    coalesce(pg_stat_get_dead_tuples(c.oid), 0) as dead,
    coalesce(pg_stat_get_mod_since_analyze(c.oid), 0) as changed,
    age(nullif(c.relfrozenxid, '0'::xid)) as frozen_age
from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
where c.oid = %(oid)s::oid
