-- Who did what after %(start)s and not after %(end)s; the past of this table is longer than a year.
insert into audit_logs (actor_id, action, target, detail, created_at)
select
    nth_users.id,
    done.action,
    case done.action when 'login' then 'session' when 'login_failed' then 'session' when 'settings.update' then 'organisation'
        when 'key.create' then 'api_key:' || 1 + seed %% 600 when 'key.revoke' then 'api_key:' || 1 + seed %% 600
        else 'workflow:' || 1 + seed %% 60 end,
    jsonb_build_object('ip', '198.51.100.' || 1 + floor(60 * pg_temp.dice(nth_user, 54)), 'via',
        case when pg_temp.dice(seed, 55) < 0.7 then 'web' else 'api' end),
    at
from (
    select seed, 1 + floor((select count(*) from users) * pg_temp.dice(seed, 52) ^ 1.4)::bigint as nth_user,
        to_timestamp(slot_s + 3600 * pg_temp.dice(seed, 51)) as at
    from generate_series(
        3600 * floor(extract(epoch from %(start)s::timestamptz) / 3600)::bigint, extract(epoch from %(end)s::timestamptz)::bigint, 3600
    ) slot_s
    join week_shape on week_shape.slot = (slot_s / 300) %% 2016
    cross join lateral (
        select slot_s * 1000 + k as seed from generate_series(1, floor(12 * load + pg_temp.dice(slot_s, 50))::int) k
    ) throw
) drawn
join (select id, row_number() over (order by id) as nth from users) nth_users on nth_users.nth = nth_user
cross join lateral (
    select (array['login', 'login', 'login', 'login', 'workflow.run', 'workflow.run', 'workflow.update', 'workflow.update',
                  'login_failed', 'key.create', 'key.revoke', 'settings.update'])[1 + floor(12 * pg_temp.dice(seed, 53))::int] as action
) done
where at > %(start)s and at <= %(end)s
order by at;
