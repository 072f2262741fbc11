-- What was looked at and what came of it: append-only, each row sealed with the hash of the row before. PostgreSQL 14 or newer.

revoke all on schema ops from public;
grant usage on schema ops to ops_evidence_writer, ops_evidence_reader;

create table ops.evidence (
    id            bigint primary key,
    recorded_at   timestamptz not null,
    item          text not null check (item <> ''),
    "check"       text not null check ("check" <> ''),
    subject       text not null check (subject <> ''),
    verdict       text not null check (verdict in ('OK', 'INFO', 'WARNING', 'UNKNOWN', 'CRITICAL')),
    summary       text not null check (summary <> ''),
    dag_id        text not null,
    task_id       text not null,
    run_id        text not null,
    try_number    integer not null check (try_number >= 0),
    code_version  text not null,
    observed_at   timestamptz not null,
    source        text,
    request       text,
    window_start  timestamptz,
    window_end    timestamptz,
    n             bigint check (n >= 0),
    value         numeric,
    unit          text,
    threshold     text,
    detail        jsonb not null,
    previous_hash text not null,
    hash          text not null,
    constraint evidence_once_a_try unique (dag_id, run_id, task_id, try_number, item, "check", subject)
);

create index evidence_by_run on ops.evidence (dag_id, observed_at);
create index evidence_by_item on ops.evidence (item, subject, observed_at);

-- The text that is sealed. Nulls are left out, so that a column which is added later changes no old seal.
create function ops.sealed_text(entry ops.evidence) returns text
    language sql stable
    set timezone = 'UTC'
    set search_path = pg_catalog, pg_temp
begin atomic
    select jsonb_strip_nulls(to_jsonb(entry) - 'hash')::text;
end;

-- Adds what is new and returns how many that were. The advisory lock makes one chain of all writers; it ends with the transaction.
create function ops.append_evidence(rows jsonb) returns integer
    language plpgsql security definer
    set timezone = 'UTC'
    set search_path = pg_catalog, pg_temp
as $$
declare
    entry ops.evidence;
    last  ops.evidence;
    added integer := 0;
begin
    perform pg_advisory_xact_lock(hashtext('ops.evidence'));
    select * into last from ops.evidence order by id desc limit 1;
    for entry in select * from jsonb_populate_recordset(null::ops.evidence, rows) loop
        continue when exists (
            select from ops.evidence as known
            where known.dag_id = entry.dag_id and known.run_id = entry.run_id and known.task_id = entry.task_id
              and known.try_number = entry.try_number and known.item = entry.item
              and known."check" = entry."check" and known.subject = entry.subject
        );
        entry.id := coalesce(last.id, 0) + 1;
        entry.recorded_at := clock_timestamp();
        entry.detail := coalesce(entry.detail, '{}');
        entry.previous_hash := coalesce(last.hash, repeat('0', 64));
        entry.hash := encode(sha256(convert_to(ops.sealed_text(entry), 'UTF8')), 'hex');
        insert into ops.evidence select (entry).*;
        last := entry;
        added := added + 1;
    end loop;
    return added;
end;
$$;

create function ops.refuse_change() returns trigger
    language plpgsql
as $$
begin
    raise insufficient_privilege using message = format('%I.%I is append-only: %s is refused', tg_table_schema, tg_table_name, tg_op);
end;
$$;

create trigger evidence_is_append_only before update or delete or truncate on ops.evidence
    for each statement execute function ops.refuse_change();

revoke all on function ops.append_evidence(jsonb), ops.refuse_change(), ops.sealed_text(ops.evidence) from public;
grant execute on function ops.append_evidence(jsonb) to ops_evidence_writer;
grant execute on function ops.sealed_text(ops.evidence) to ops_evidence_writer, ops_evidence_reader;
grant select on ops.evidence to ops_evidence_writer, ops_evidence_reader;
