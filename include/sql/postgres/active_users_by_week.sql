-- How many users were active in the 24 hours up to this time of day, today and on the same weekday of the weeks before?
SELECT week,
       (SELECT count(DISTINCT user_id) FROM events
        WHERE ts >= %(until)s - week * interval '7 days' - interval '24 hours'
          AND ts < %(until)s - week * interval '7 days')::float8 AS value
FROM generate_series(0, %(weeks)s) AS week
ORDER BY week
