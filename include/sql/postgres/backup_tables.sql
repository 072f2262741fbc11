-- Which tables hold rows that a dump copies, and which statement hashes them? Columns stand by name, an order that a restore keeps.
-- Types that spell each value in one way are hashed as they are, which is twice as fast; all others by their text, since to their own
-- hash `1.0` is `1.00`. It stays a hash: an int8 or a timestamp is folded to 32 bits first (-1 is as 4294967295).
-- The hash of a row is a sum of its columns' hashes, each times a constant: added up as it is, two rows that swap a value keep the sum.
-- So it is hashed once more before it is added up.
-- Tables of extensions are theirs to fill. What is unlogged cannot be read on a standby: a dump of one has such a table without its
-- rows, and so has what it restores to. Partitioned tables hold no rows, but are locked too. The rows of partitions count for the
-- table that they are of (`root`): a restore sorts them in anew, and hashes of an enum, say, differ from server to server.
select
    c.oid::int8 as oid,
    quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name,
    coalesce(quote_ident(rn.nspname) || '.' || quote_ident(r.relname), quote_ident(n.nspname) || '.' || quote_ident(c.relname)) as root,
    c.relkind = 'r' as has_rows,
    (pg_relation_size(c.oid) / current_setting('block_size')::int)::int8 as blocks,
    case when c.relpersistence = 'u' and pg_is_in_recovery() then 'select 0, ''0''' else format(
        'select count(*), coalesce(sum(hashtextextended(hash_record_extended(row(%s), 0)::text collate "C", 0)), 0)::text from only %I.%I',
        (
            select string_agg(
                case
                    when a.atttypid in ('text'::regtype, 'varchar'::regtype) then quote_ident(a.attname) || ' collate "C"'
                    when a.atttypid in (
                        'int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'bool'::regtype, 'uuid'::regtype, 'date'::regtype,
                        'timestamptz'::regtype, 'timestamp'::regtype, 'bytea'::regtype
                    ) then quote_ident(a.attname)
                    else quote_ident(a.attname) || '::text collate "C"'
                end,
                ', ' order by a.attname collate "C"
            )
            from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        ), n.nspname, c.relname
    ) end as hashing
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
left join pg_class r on r.oid = pg_partition_root(c.oid)
left join pg_namespace rn on rn.oid = r.relnamespace
where c.relkind in ('r', 'p')
    and c.relpersistence <> 't'
    and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    and not exists (
        select from pg_depend d
        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
    )
order by c.oid
