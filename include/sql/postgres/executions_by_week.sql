-- How many executions were created in the 24 hours up to this time of day, today and in the weeks before?
SELECT week,
       (SELECT count(*) FROM workflow_executions
        WHERE created_at >= %(until)s - week * interval '7 days' - interval '24 hours'
          AND created_at < %(until)s - week * interval '7 days')::float8 AS value
FROM generate_series(0, %(weeks)s) AS week
ORDER BY week
