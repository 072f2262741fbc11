-- What about the restored database would break the application in its first minutes? One row a fault: what, which.
select 'constraint that was not validated' as fault, conrelid::regclass::text || '.' || quote_ident(conname) as name
from pg_constraint where not convalidated and conrelid <> 0
union all
select 'index that is not valid', indexrelid::regclass::text from pg_index i
where not (indisvalid and indisready) and (select relkind from pg_class where oid = indexrelid) = 'i'
union all
select 'trigger that is off', tgrelid::regclass::text || '.' || quote_ident(tgname) from pg_trigger where tgenabled = 'D' and not tgisinternal
union all
select 'materialized view without rows', oid::regclass::text from pg_class where relkind = 'm' and not relispopulated
order by fault, name
