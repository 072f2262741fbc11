-- What was billed in the 24 hours up to this time of day, today and in the weeks before? Amounts: never shown to anybody.
SELECT week,
       coalesce((SELECT sum(amount) FROM billing
        WHERE recorded_at >= %(until)s - week * interval '7 days' - interval '24 hours'
          AND recorded_at < %(until)s - week * interval '7 days'), 0)::float8 AS value
FROM generate_series(0, %(weeks)s) AS week
ORDER BY week
