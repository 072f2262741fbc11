-- A database with the shape of the orchestrator's, {gb} GB as plain SQL, which `zstd -1` shrinks to a third. The seed makes it the same each
-- time. Run by benchmarks/backup.py, which fills in the {gb}.
select setseed(0.2026);

create function pg_temp.word() returns text language sql volatile as $$
    select (array['execution', 'workflow', 'finished', 'started', 'retry', 'node', 'http', 'timeout', 'payload', 'customer', 'invoice',
        'webhook', 'schedule', 'queued', 'worker', 'token', 'response', 'status', 'accepted', 'refused', 'lookup', 'transform', 'merge',
        'branch', 'loop', 'export', 'import', 'sync', 'batch', 'record', 'field', 'value'])[1 + floor(random() * 32)::int]
$$;

create table accounts (
    id uuid primary key,
    email text not null,
    name text not null,
    settings jsonb not null,
    created_at timestamptz not null
);
insert into accounts
select
    md5('account' || n)::uuid,
    pg_temp.word() || '.' || n || '@' || pg_temp.word() || '.example',
    initcap(pg_temp.word() || ' ' || pg_temp.word()),
    jsonb_build_object('theme', pg_temp.word(), 'limit', floor(random() * 1000), 'key', md5(random()::text), 'beta', random() < 0.1),
    timestamptz '2023-01-01 00:00Z' + random() * interval '1000 days'
from generate_series(1, (116000 * {gb})::int) as n;

create table executions (
    id bigint generated always as identity primary key,
    workflow_id uuid not null,
    account_id uuid not null,
    status text not null,
    input jsonb not null,
    output jsonb,
    created_at timestamptz not null,
    finished_at timestamptz,
    duration_ms int,
    cost numeric(12, 6)
);
insert into executions (workflow_id, account_id, status, input, output, created_at, finished_at, duration_ms, cost)
select
    md5('workflow' || floor(random() * 500))::uuid,
    md5('account' || 1 + floor(random() * 116000 * {gb}))::uuid,
    (array['succeeded', 'succeeded', 'succeeded', 'succeeded', 'failed', 'cancelled'])[1 + floor(random() * 6)::int],
    jsonb_build_object('trigger', pg_temp.word(), 'source', pg_temp.word(), 'reference', md5(random()::text), 'count', floor(random() * 1e6)),
    jsonb_build_object('rows', floor(random() * 1e5), 'digest', md5(random()::text), 'result', pg_temp.word() || ' ' || pg_temp.word()),
    timestamptz '2026-01-01 00:00Z' + n * interval '20 seconds',
    timestamptz '2026-01-01 00:00Z' + n * interval '20 seconds' + random() * interval '10 minutes',
    floor(random() * 600000)::int,
    (random() * 10)::numeric(12, 6)
from generate_series(1, (815000 * {gb})::int) as n;

create table logs (
    id bigint generated always as identity primary key,
    execution_id bigint not null,
    level text not null,
    message text not null,
    context jsonb,
    created_at timestamptz not null
);
insert into logs (execution_id, level, message, context, created_at)
select
    1 + n / 4,
    (array['info', 'info', 'info', 'debug', 'warning', 'error'])[1 + floor(random() * 6)::int],
    concat_ws(' ', pg_temp.word(), pg_temp.word(), pg_temp.word(), floor(random() * 1e6), pg_temp.word(), pg_temp.word(), 'in', (random() * 5000)::int, 'ms'),
    case when random() < 0.4 then jsonb_build_object('node', pg_temp.word(), 'trace', md5(random()::text), 'attempt', floor(random() * 5)) end,
    timestamptz '2026-01-01 00:00Z' + n * interval '5 seconds' + random() * interval '5 seconds'
from generate_series(1, (3030000 * {gb})::int) as n;

create table events (
    id uuid primary key,
    account_id uuid not null,
    kind text not null,
    payload jsonb not null,
    created_at timestamptz not null
);
insert into events
select
    md5(random()::text)::uuid,
    md5('account' || 1 + floor(random() * 116000 * {gb}))::uuid,
    pg_temp.word() || '.' || pg_temp.word(),
    jsonb_build_object('path', '/' || pg_temp.word() || '/' || pg_temp.word(), 'ms', floor(random() * 3000), 'bytes', floor(random() * 1e7), 'session', md5(random()::text)),
    timestamptz '2026-01-01 00:00Z' + n * interval '12 seconds'
from generate_series(1, (1280000 * {gb})::int) as n;

create index accounts_email on accounts (email);
create index executions_workflow on executions (workflow_id, created_at);
create index executions_account on executions (account_id);
create index logs_execution on logs (execution_id);
create index logs_created_at on logs (created_at);
create index events_account on events (account_id, created_at);
alter table executions add constraint executions_account_id_fkey foreign key (account_id) references accounts (id);
alter table events add constraint events_account_id_fkey foreign key (account_id) references accounts (id);
vacuum (analyze) accounts, executions, logs, events;
