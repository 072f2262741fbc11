-- Keys of those people: most in use, some never used, some forgotten for a year, some revoked.
insert into api_keys (user_id, prefix, key_hash, scopes, created_at, last_used_at, revoked_at)
select
    users.id,
    'aok_' || substr(md5('prefix' || n), 1, 8),
    encode(sha256(convert_to('key' || n, 'UTF8')), 'hex'),
    case when n %% 40 = 0 then array['admin'] when n %% 3 = 0 then array['workflows:read']
         else array['workflows:read', 'workflows:run'] end,
    made.created_at,
    case when pg_temp.dice(n, 21) < 0.08 then null
         when pg_temp.dice(n, 21) < 0.20 then least(%(now)s, made.created_at + 30 * pg_temp.dice(n, 22) * interval '1 day')
         else %(now)s - 3 * pg_temp.dice(n, 23) ^ 3 * interval '1 day' end,
    case when pg_temp.dice(n, 24) < 0.12 then %(now)s - 10 * pg_temp.dice(n, 25) * interval '1 day' end
from generate_series(1, 600) n
join users on users.id = 1 + floor(400 * pg_temp.dice(n, 26) ^ 1.3)
cross join lateral (
    select users.created_at + pg_temp.dice(n, 27) * 0.9 * (%(now)s::timestamptz - 10 * interval '1 day' - users.created_at) as created_at
) made
order by n;
