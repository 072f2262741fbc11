-- Which columns of a table hold something of their own, in order? PostgreSQL 12 or newer.
select a.attname::text as name, format_type(a.atttypid, a.atttypmod) as type
from pg_attribute as a
where a.attrelid = format('public.%%I', %(table)s::text)::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
order by a.attnum
