-- Executions created after %(start)s and not after %(end)s, as many in each five minutes as the curve of the week says.
with slot as materialized (
    select
        slot_s,
        floor(%(per_slot)s * load * (1 - %(wave)s + %(wave)s * sin(2 * pi() * slot_s / %(wave_s)s)) + pg_temp.dice(slot_s, 1))::int as n
    from generate_series(
        300 * floor(extract(epoch from %(start)s::timestamptz) / 300)::bigint, extract(epoch from %(end)s::timestamptz)::bigint, 300
    ) slot_s
    join week_shape on week_shape.slot = (slot_s / 300) %% 2016
), drawn as (
    select seed, to_timestamp(slot_s + 300 * pg_temp.dice(seed, 2)) as created_at,
        1 + floor((select count(*) from workflows) * pg_temp.dice(seed, 3) ^ 2)::bigint as nth_workflow,
        1 + floor((select count(*) from users) * pg_temp.dice(seed, 4) ^ 1.4)::bigint as nth_user,
        pg_temp.dice(seed, 5) as luck,
        pg_temp.dice(seed, 6) as reason
    from slot, lateral (select slot_s * 1000 + k as seed from generate_series(1, n) k) throw
), valid as materialized (
    select id, workflow_id, created_at as since,
        lead(created_at, 1, 'infinity') over (partition by workflow_id order by version) as until
    from workflow_versions
), timed as (
    select *,
        created_at + (1 + 25 * pg_temp.dice(seed, 7) ^ 3) * interval '1 second' as started_at,
        22 * exp(0.9 * (pg_temp.dice(seed, 8) + pg_temp.dice(seed, 9) + pg_temp.dice(seed, 10) - 1.5)) * interval '1 second' as took
    from drawn
    where created_at > %(start)s and created_at <= %(end)s
), nth_workflows as (
    select id, row_number() over (order by id) as nth from workflows
), nth_users as (
    select id, row_number() over (order by id) as nth from users
)
insert into workflow_executions
    (workflow_id, workflow_version_id, user_id, status, error_class, created_at, started_at, finished_at)
select
    valid.workflow_id, valid.id, nth_users.id,
    case when luck < 0.019 then 'failed' when luck < 0.024 then 'cancelled' else 'succeeded' end,
    case when luck < 0.019 then
        case when reason < 0.4 then 'UpstreamTimeout' when reason < 0.65 then 'UpstreamError' when reason < 0.85 then 'ValidationError'
             when reason < 0.95 then 'RateLimited' else 'OutOfMemory' end end,
    timed.created_at,
    -- What would end after the last moment ends at it: nobody is there to finish a row of the past.
    least(timed.started_at, %(end)s),
    least(timed.started_at + took, %(end)s)
from timed
join nth_workflows on nth_workflows.nth = nth_workflow
join nth_users on nth_users.nth = nth_user
join valid on valid.workflow_id = nth_workflows.id and timed.created_at >= valid.since and timed.created_at < valid.until
order by timed.created_at;
