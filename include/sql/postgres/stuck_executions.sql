-- Which executions have run for longer than they should?
SELECT id::text AS id,
       workflow_id::text AS workflow_id,
       extract(epoch FROM %(at)s - started_at)::float8 AS running_s
FROM workflow_executions
WHERE status = 'running' AND started_at < %(started_before)s
ORDER BY started_at
LIMIT 100
