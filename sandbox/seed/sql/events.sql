-- What people did after %(start)s and not after %(end)s. Who is there on a day is mostly habit: the same people come on the
-- same kind of day, so the number of active users swings with the week and hardly with chance.
insert into events (user_id, kind, ts)
select user_id, (array['view', 'view', 'view', 'edit', 'run', 'export', 'login'])[1 + floor(7 * pg_temp.dice(seed, 63))::int], ts
from (
    select
        nth_users.id as user_id, seed,
        -- Most of it between 07:00 and 19:00, some of it round the clock.
        day + interval '1 day' * case when pg_temp.dice(seed, 64) < 0.1 then pg_temp.dice(seed, 65)
            else 7 / 24.0 + (pg_temp.dice(seed, 66) + pg_temp.dice(seed, 67)) / 4 end as ts
    from generate_series(date_trunc('day', %(start)s::timestamptz, 'UTC'), %(end)s, interval '1 day') day
    cross join lateral (
        select extract(epoch from day)::bigint / 86400 as number,
            (array[0.56, 0.58, 0.58, 0.57, 0.54, 0.40, 0.38])[extract(isodow from day at time zone 'UTC')::int]
                * (1 - 2 * %(wave)s + 2 * %(wave)s * sin(2 * pi() * extract(epoch from day) / %(wave_s)s)) as share
    ) calendar
    cross join (select id, (row_number() over (order by id)) as nth, count(*) over () as people from users) nth_users
    cross join lateral generate_series(1, 3 + floor(6 * pg_temp.dice(nth_users.nth * 100000 + number, 62))::int) k
    cross join lateral (select (nth_users.nth * 100000 + number) * 100 + k as seed) throw
    where ((nth_users.nth * 7919) %% people)::float8 / people + 0.02 * pg_temp.dice(nth_users.nth * 100000 + number, 61) < share
) happened
where ts > %(start)s and ts <= %(end)s
order by ts;
