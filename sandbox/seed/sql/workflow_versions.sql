-- One to 25 versions each, from the workflow's first day until yesterday; many where active_versions.sql goes back far.
insert into workflow_versions (workflow_id, version, definition, created_at)
select
    workflows.id,
    v,
    jsonb_build_object(
        'trigger', (array['schedule', 'webhook', 'manual'])[1 + workflows.id %% 3],
        'timeout_s', 60 * (1 + workflows.id %% 15),
        'steps', (
            select jsonb_agg(jsonb_build_object(
                'id', 'step-' || s,
                'uses', (array['http.request', 'llm.complete', 'sql.query', 'mail.send', 'branch', 'transform'])
                        [1 + floor(6 * pg_temp.dice(workflows.id * 1000 + v * 20 + s, 34))::int],
                'retries', s %% 3))
            from generate_series(1, 3 + ((workflows.id + v) %% 6)::int) s)),
    workflows.created_at + (v - 1) * (%(now)s::timestamptz - interval '1 day' - workflows.created_at) / count_of.versions
from workflows
cross join lateral (
    select case when workflows.id %% 12 = 5 or workflows.id %% 15 = 3 then 20 + floor(6 * pg_temp.dice(workflows.id, 33))::int
        else 1 + floor(25 * pg_temp.dice(workflows.id, 33))::int end as versions
) count_of
cross join lateral generate_series(1, count_of.versions) v
order by workflows.id, v;
