-- Which tables refer to this one, or to a partition of it? A row of theirs would go with ours, or keep it. PostgreSQL 12 or newer.
select distinct conrelid::regclass::text as holder
from pg_constraint
where contype = 'f' and confrelid in (
    select relid from pg_partition_tree(format('public.%%I', %(table)s::text)::regclass)
    union all select format('public.%%I', %(table)s::text)::regclass
)
