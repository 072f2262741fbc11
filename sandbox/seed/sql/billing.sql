-- What paying users were charged after %(start)s and not after %(end)s: usage once a day, each at an hour of his own, so that
-- any 24 hours hold one line of everybody.
insert into billing (user_id, kind, amount, currency, recorded_at)
select
    nth_users.id,
    case when refunded then 'refund' when nth %% 5 = 0 then 'subscription' else 'usage' end,
    round(((case when refunded then -0.2 else 1 end) * (4 + 60 * pg_temp.dice(nth, 71) ^ 2) * weekday
        * (1 - %(wave)s + %(wave)s * sin(2 * pi() * extract(epoch from day) / %(wave_s)s))
        * (0.97 + 0.06 * pg_temp.dice(seed, 72)))::numeric, 2),
    'USD',
    at
from generate_series(date_trunc('day', %(start)s::timestamptz, 'UTC'), %(end)s, interval '1 day') day
cross join lateral (
    select (array[0.96, 1.00, 1.00, 0.98, 0.90, 0.62, 0.60])[extract(isodow from day at time zone 'UTC')::int] as weekday
) calendar
cross join (select id, row_number() over (order by id) as nth from users) nth_users
cross join lateral (
    select day + interval '1 day' * pg_temp.dice(nth, 73) as at, nth * 100000 + extract(epoch from day)::bigint / 86400 as seed
) moment
-- Small sums only: a large one would make the day look odd.
cross join lateral (select seed %% 29 = 0 and pg_temp.dice(nth, 71) < 0.3 as refunded) luck
where nth %% 3 = 1 and at > %(start)s and at <= %(end)s
order by at;
