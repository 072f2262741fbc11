-- What the clean-up may do in `orchestrator`, and the floors below which it may not go, whatever a runbook or its settings ask for:
-- logs of 90 days, audit logs of 365, the ten newest versions. Run there as a superuser after orchestrator_grants.sql; may be run again
-- at any time. ops_cleanup has no right on any table: it deletes what a receipt of the archive names, row by row, as long as the row is
-- the one that was archived, and it brings back what it is handed. PostgreSQL 14 or newer.
create schema if not exists ops_cleanup authorization orchestrator_owner;
revoke all on schema ops_cleanup from public;
grant usage on schema ops_cleanup to ops_cleanup;

-- What was archived, read back and compared. The ids, and which state of each row it was, stay until they are deleted.
create table if not exists ops_cleanup.receipt (
    id          bigint generated always as identity primary key,
    op_id       uuid not null,
    chunk       text not null check (chunk <> ''),
    subject     text not null check (subject in ('execution_logs', 'audit_logs', 'workflow_versions')),
    object_key  text not null check (object_key <> ''),
    version_id  text not null,
    sha256      text not null check (sha256 ~ '^[0-9a-f]{64}$'),
    n           integer not null check (n > 0),
    ids         bigint[],
    states      xid[],
    recorded_at timestamptz not null default clock_timestamp(),
    settled_at  timestamptz,
    check (settled_at is not null or (cardinality(ids) = n and cardinality(states) = n))
);
alter table ops_cleanup.receipt owner to orchestrator_owner;
create index if not exists receipt_of_chunk on ops_cleanup.receipt (op_id, chunk);

-- Versions beyond the newest, and what keeps each of them: every foreign key that leads to it, whichever table has it.
create or replace function ops_cleanup.old_versions(keep integer, out id bigint, out kept_by text)
    returns setof record
    language plpgsql stable security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    links text := '';
    link  record;
begin
    if keep is null or keep < 10 then
        raise invalid_parameter_value using message = format('at least the 10 newest versions stay, not %s', keep);
    end if;
    for link in
        -- These three are asked for by name, so that a schema without their foreign keys keeps them too.
        with named (holder, said, matches) as (values
            ('public.workflows'::regclass, 'active', 'h.active_version_id = v.id'),
            ('public.workflows'::regclass, 'pinned', 'h.pinned_version_id = v.id'),
            ('public.workflow_executions'::regclass, 'used by an execution', 'h.workflow_version_id = v.id')
        ), keyed as (
            select c.conrelid::regclass as holder, 'referenced by ' || c.conrelid::regclass::text as said, (
                select string_agg(format('h.%I = v.%I', theirs.attname, ours.attname), ' and ')
                from unnest(c.conkey, c.confkey) as pair (theirs, ours)
                join pg_attribute as theirs on theirs.attrelid = c.conrelid and theirs.attnum = pair.theirs
                join pg_attribute as ours on ours.attrelid = c.confrelid and ours.attnum = pair.ours
            ) as matches
            from pg_constraint as c where c.contype = 'f' and c.confrelid = 'public.workflow_versions'::regclass
        )
        select * from named
        union all
        select * from keyed as k where not exists (select from named as n where n.holder = k.holder and n.matches = k.matches)
    loop
        links := links || format(
            ' union all select v.id, %L from public.workflow_versions as v where exists (select from %s as h where %s)',
            link.said, link.holder, link.matches
        );
    end loop;
    return query execute
        'with ranked as (
            select v.id, row_number() over (partition by v.workflow_id order by v.version desc, v.id desc) as nth
            from public.workflow_versions as v
        ), link (id, said) as (' || substr(links, 12) || ')
        select r.id, string_agg(distinct l.said, '', '') from ranked as r left join link as l on l.id = r.id
        where r.nth > $1 group by r.id order by r.id'
    using keep;
end;
$$;

-- Writes down that rows are in the archive; nothing is deleted without it.
create or replace function ops_cleanup.record_receipt(
    of_op uuid, of_chunk text, of_subject text, at_key text, at_version text, with_sha256 text, of_ids bigint[], of_states text[]
) returns bigint
    language sql security definer
    set search_path = pg_catalog, pg_temp
begin atomic
    insert into ops_cleanup.receipt (op_id, chunk, subject, object_key, version_id, sha256, n, ids, states)
    values (of_op, of_chunk, of_subject, at_key, at_version, with_sha256, cardinality(of_ids), of_ids, of_states::xid[])
    returning id;
end;

create or replace function ops_cleanup.receipts(of_op uuid, of_chunk text, out id bigint, out ids bigint[], out settled boolean)
    returns setof record
    language sql stable security definer
    set search_path = pg_catalog, pg_temp
begin atomic
    select r.id, r.ids, r.settled_at is not null from ops_cleanup.receipt as r
    where r.op_id = of_op and r.chunk = of_chunk order by r.id;
end;

-- Refuses a table of logs that a foreign key leads to, or to a part of it: other rows would go with its own, or keep them.
create or replace function ops_cleanup.refuse_linked(of_subject text) returns void
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    logs   regclass := to_regclass(format('public.%I', of_subject));
    holder text;
begin
    select c.conrelid::regclass::text into holder from pg_constraint as c
    where of_subject <> 'workflow_versions'  -- whatever refers to one of these keeps it
      and c.contype = 'f' and (c.confrelid = logs or c.confrelid in (select relid from pg_partition_tree(logs)));
    if holder is not null then
        raise dependent_objects_still_exist using message = format('%s refers to %s', holder, of_subject);
    end if;
end;
$$;

-- Deletes rows of a receipt, from one position to another. A row that somebody has locked or changed since stays, and so does one that
-- is above a floor or that something refers to: it waits for nobody, so nobody waits long for it. A log is its id on the day of its
-- piece: a partitioned table may have that id on another day too, and even from the same transaction.
create or replace function ops_cleanup.delete_archived(which bigint, from_position integer, to_position integer) returns integer
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    set timezone = 'UTC'
as $$
declare
    receipt ops_cleanup.receipt;
    day     date;
    floor   text;
    gone    integer;
begin
    select * into receipt from ops_cleanup.receipt as r where r.id = which;
    if receipt.id is null or receipt.settled_at is not null then
        raise object_not_in_prerequisite_state using message = format('there is no open receipt %s of the archive', which);
    end if;
    if receipt.subject <> 'workflow_versions' then
        day := split_part(receipt.chunk, '/', 2)::date;
    end if;
    floor := case receipt.subject
        when 'execution_logs' then
            't.created_at < clock_timestamp() - interval ''90 days'' and t.created_at >= $3 and t.created_at < $4'
        when 'audit_logs' then
            't.created_at < clock_timestamp() - interval ''365 days'' and t.created_at >= $3 and t.created_at < $4'
        else 'exists (select from ops_cleanup.old_versions(10) as v where v.id = t.id and v.kept_by is null)'
    end;
    execute format(
        'with wanted as materialized (
            select * from unnest($1, $2) as w (id, state)
        ), mine as materialized (
            select t.id, t.tableoid as part, t.ctid as place from public.%1$I as t
            join wanted as w on w.id = t.id and w.state = t.xmin
            where %2$s for update of t skip locked
        )
        delete from public.%1$I as t using mine where t.id = mine.id and t.tableoid = mine.part and t.ctid = mine.place',
        receipt.subject, floor
    ) using receipt.ids[from_position:to_position], receipt.states[from_position:to_position],
        day::timestamptz, (day + 1)::timestamptz;
    get diagnostics gone = row_count;
    -- Asked after the deletion, which it takes back: from its lock on, nobody can make a foreign key that is not seen here.
    perform ops_cleanup.refuse_linked(receipt.subject);
    return gone;
exception when foreign_key_violation then
    perform ops_cleanup.refuse_linked(receipt.subject);
    return 0;  -- something refers to one of them by now: all of this batch stay, and are looked at once more
end;
$$;

-- Nothing more is deleted by it.
create or replace function ops_cleanup.settle_receipt(which bigint) returns void
    language sql security definer
    set search_path = pg_catalog, pg_temp
begin atomic
    update ops_cleanup.receipt as r set settled_at = clock_timestamp(), states = null
    where r.id = which and r.settled_at is null;
end;

-- Forgets which rows they were, once the journal says what became of them, and keeps where they lie.
create or replace function ops_cleanup.forget_ids(of_op uuid, of_chunk text) returns void
    language sql security definer
    set search_path = pg_catalog, pg_temp
begin atomic
    update ops_cleanup.receipt as r set ids = null
    where r.op_id = of_op and r.chunk = of_chunk and r.settled_at is not null;
end;

-- Where a table of logs is partitioned by time: its partitions that end before a moment and before the floor, with their bounds.
create or replace function ops_cleanup.old_partitions(
    of_subject text, before timestamptz, out name text, out first_at timestamptz, out end_at timestamptz
) returns setof record
    language sql stable security definer
    set search_path = pg_catalog, pg_temp
    set timezone = 'UTC'
begin atomic
    select part.name, part.first_at, part.end_at
    from (
        select c.oid::regclass::text as name,
            (regexp_match(pg_get_expr(c.relpartbound, c.oid), '^FOR VALUES FROM \(''([^'']+)''\) TO \(''[^'']+''\)$'))[1]::timestamptz as first_at,
            (regexp_match(pg_get_expr(c.relpartbound, c.oid), '^FOR VALUES FROM \(''[^'']+''\) TO \(''([^'']+)''\)$'))[1]::timestamptz as end_at
        from pg_inherits as i
        join pg_class as c on c.oid = i.inhrelid and c.relkind = 'r' and c.relispartition
        join pg_partitioned_table as p on p.partrelid = i.inhparent and p.partnatts = 1 and p.partstrat = 'r'
        join pg_attribute as a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0] and a.attname = 'created_at'
        where of_subject in ('execution_logs', 'audit_logs') and i.inhparent = to_regclass('public.' || of_subject)
    ) as part
    where part.end_at <= before
      and part.end_at <= clock_timestamp()
          - case of_subject when 'execution_logs' then interval '90 days' else interval '365 days' end
    order by part.end_at;
end;

-- Empties such a partition at once, if each of its rows is in the archive as it is now; says whether it did. It locks that partition
-- alone, waits for nobody longer than the blink of an eye, and where it may not the rows go by batches. While it compares, others may
-- read: only writers wait, and to rows this old hardly anybody writes. Who reads when it empties lets it give up.
create or replace function ops_cleanup.empty_partition(of_op uuid, of_subject text, part text) returns boolean
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    set timezone = 'UTC'
    set lock_timeout = '200ms'
    set enable_nestloop = off  -- the planner hopes for an early end, and would compare each row with all receipts
as $$
declare
    unknown boolean;
begin
    if not exists (select from ops_cleanup.old_partitions(of_subject, clock_timestamp()) as o where o.name = part) then
        return false;
    end if;
    perform ops_cleanup.refuse_linked(of_subject);
    execute format('lock table only %s in share mode', part::regclass);
    execute format(
        'select exists (
            select from only %s as t where not exists (
                select from ops_cleanup.receipt as r, unnest(r.ids, r.states) as w (id, state)
                where r.op_id = $1 and r.settled_at is null and w.id = t.id and w.state = t.xmin
                    and split_part(r.chunk, ''/'', 2)::date = t.created_at::date
            )
        )', part::regclass
    ) into unknown using of_op;
    if not unknown then
        execute format('truncate only %s', part::regclass);
    end if;
    return not unknown;
exception when lock_not_available or deadlock_detected then
    return false;
end;
$$;

-- Detaches such a partition and drops it, if nothing is in it any more; says whether it did. It is looked at under a lock that keeps
-- writers of that partition out, so that nothing is read while the whole table is locked.
create or replace function ops_cleanup.drop_partition(of_subject text, part text) returns boolean
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    set lock_timeout = '200ms'
as $$
declare
    used boolean;
begin
    if not exists (select from ops_cleanup.old_partitions(of_subject, clock_timestamp()) as o where o.name = part) then
        return false;
    end if;
    execute format('lock table only %s in share mode', part::regclass);
    execute format('select exists (select from only %s)', part::regclass) into used;
    if used then
        return false;
    end if;
    execute format('alter table public.%I detach partition %s', of_subject, part::regclass);
    execute format('drop table %s', part::regclass);
    return true;
exception when lock_not_available or deadlock_detected then
    return false;
end;
$$;

-- --- the way back ---------------------------------------------------------------------------------------------------------

-- Makes an empty table of the same shape, into which a day of the archive is read before any of it goes into the real one.
create or replace function ops_cleanup.open_stage(of_op uuid, of_subject text) returns text
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    stage text := format('ops_cleanup.%I', 'stage_' || replace(of_op::text, '-', ''));
begin
    if of_subject is null or of_subject not in ('execution_logs', 'audit_logs', 'workflow_versions') then
        raise invalid_parameter_value using message = format('%s is not archived', of_subject);
    end if;
    execute format('drop table if exists %s', stage);
    execute format('create unlogged table %s (like public.%I including generated, primary key (id))', stage, of_subject);
    execute format('grant insert, select on %s to ops_cleanup', stage);
    return stage;
end;
$$;

-- Puts what was staged and is missing back, a piece at a time; says how many there were, and how many of the staged rows are there and
-- equal, or there and not: beside it a partitioned table may have the same id on another day.
create or replace function ops_cleanup.take_stage(
    of_op uuid, of_subject text, columns text[], after_id bigint, at_most integer,
    out last_id bigint, out brought integer, out equal integer, out other integer
)
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    set extra_float_digits = 1  -- or numbers that differ in their last digit would be equal
as $$
declare
    stage text := format('ops_cleanup.%I', 'stage_' || replace(of_op::text, '-', ''));
    named text := (select string_agg(format('%I', c), ', ') from unnest(columns) as c);
    ours  text := (select string_agg(format('s.%I', c), ', ') from unnest(columns) as c);
    there text := (select string_agg(format('t.%I', c), ', ') from unnest(columns) as c);
begin
    if of_subject is null or of_subject not in ('execution_logs', 'audit_logs', 'workflow_versions') then
        raise invalid_parameter_value using message = format('%s is not archived', of_subject);
    end if;
    execute format(
        'select max(id) from (select id from %s where id > $1 order by id limit $2) as piece', stage
    ) into last_id using after_id, at_most;
    execute format(
        'insert into public.%I (%s) overriding system value
         select %s from %s as s where s.id > $1 and s.id <= $2 order by s.id on conflict do nothing',
        of_subject, named, ours, stage
    ) using after_id, last_id;
    get diagnostics brought = row_count;
    execute format(
        'select count(*) filter (where same), count(*) filter (where not same)
         from (
             select bool_or((row(%1$s)::text) = (row(%2$s)::text)) as same
             from %3$s as s join public.%4$I as t on t.id = s.id where s.id > $1 and s.id <= $2 group by s.id
         ) as compared',
        ours, there, stage, of_subject
    ) into equal, other using after_id, last_id;
end;
$$;

create or replace function ops_cleanup.close_stage(of_op uuid) returns void
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('drop table if exists ops_cleanup.%I', 'stage_' || replace(of_op::text, '-', ''));
end;
$$;

do $$
declare
    each regprocedure;
begin
    for each in select oid::regprocedure from pg_proc where pronamespace = 'ops_cleanup'::regnamespace loop
        execute format('alter function %s owner to orchestrator_owner', each);
        execute format('revoke all on function %s from public', each);
        execute format('grant execute on function %s to ops_cleanup', each);
    end loop;
end
$$;
