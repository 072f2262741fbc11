-- Which tables refer to this one? A row of theirs would go with ours, or keep it. PostgreSQL 11 or newer.
select distinct conrelid::regclass::text as holder
from pg_constraint
where contype = 'f' and confrelid = format('public.%%I', %(table)s::text)::regclass
