-- How did the executions end that finished in the window? Uses the index on finished_at.
SELECT count(*) FILTER (WHERE status = 'succeeded') AS succeeded,
       count(*) FILTER (WHERE status = 'failed') AS failed,
       count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
       percentile_disc(0.99) WITHIN GROUP (
           ORDER BY extract(epoch FROM finished_at - started_at)
       ) FILTER (WHERE status = 'succeeded') AS p99_run_s
FROM workflow_executions
WHERE finished_at >= %(since)s AND finished_at < %(until)s
