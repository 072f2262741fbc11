-- Old and new rows: %(logs)s log lines of each of %(days)s days beyond the limit and of one day within it, a tenth as many audit logs,
-- three workflows of fifteen versions, of which the first is active in the second and pinned in the third, and an old one runs.
with person as (
    insert into users (email, role) values ('a@b.example', 'admin') returning id
), flow as (
    insert into workflows (name, owner_id) select 'flow-' || n, person.id from person, generate_series(1, 3) n returning id, name
), version as (
    insert into workflow_versions (workflow_id, version, definition, created_at)
    select flow.id, v, jsonb_build_object('text', E'tab\there, newline\nand \\ backslash', 'n', v, 'none', null),
        now() - interval '400 days' + v * interval '1 s'
    from flow, generate_series(1, 15) v returning id, workflow_id, version
)
insert into workflow_executions (workflow_id, workflow_version_id, user_id, status, created_at)
select version.workflow_id, version.id, person.id, 'running', now() from version, person, flow
where flow.id = version.workflow_id and flow.name = 'flow-1' and version.version = 2;
update workflows set active_version_id = (select id from workflow_versions v where v.workflow_id = workflows.id and version = 1)
where name = 'flow-2';
update workflows set pinned_version_id = (select id from workflow_versions v where v.workflow_id = workflows.id and version = 1)
where name = 'flow-3';
insert into execution_logs (execution_id, level, message, created_at)
select e.id, 'info', case n %% 5 when 0 then E'\\N' when 1 then '' when 2 then E'a\tb\nc\\d\r' when 3 then '„ü“ 漢' else 'step ' || n end,
    date_trunc('day', now() - d * interval '1 day', 'UTC') + n * interval '1 s'
from workflow_executions e, generate_series(91, 91 + %(days)s - 1) d, generate_series(1, %(logs)s) n;
insert into execution_logs (execution_id, level, message, created_at)
select e.id, 'info', 'new ' || n, now() - interval '10 days' + n * interval '1 s' from workflow_executions e, generate_series(1, %(logs)s) n;
insert into audit_logs (actor_id, action, target, detail, created_at)
select u.id, 'login', 'session', jsonb_build_object('ip', '198.51.100.' || n, 'x', null),
    date_trunc('day', now() - d * interval '1 day', 'UTC') + n * interval '1 s'
from users u, generate_series(366, 366 + %(days)s - 1) d, generate_series(1, 1 + %(logs)s / 10) n;
insert into audit_logs (action, target) values ('login', 'session');
