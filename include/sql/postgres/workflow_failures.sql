-- What did the failed executions of the window die of, and in which workflows?
SELECT coalesce(error_class, 'unknown') AS error_class,
       workflow_id::text AS workflow_id,
       count(*) AS failures
FROM workflow_executions
WHERE status = 'failed' AND finished_at >= %(since)s AND finished_at < %(until)s
GROUP BY 1, 2
ORDER BY failures DESC, error_class, workflow_id
LIMIT 5
