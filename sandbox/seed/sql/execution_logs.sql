-- Log lines of the executions created after %(start)s and not after %(end)s: of each failure, and of nearly half of the rest.
insert into execution_logs (execution_id, level, message, created_at)
select execution.id, line.level, line.message, line.created_at
from workflow_executions execution
cross join lateral (
    values
        ('info', 'execution ' || execution.id || ' picked up by worker-' || 1 + execution.id %% 6, started_at),
        ('info', 'step-' || 1 + execution.id %% 4 || ' done', started_at + (finished_at - started_at) * 0.7),
        (case when status = 'failed' then 'error' when status = 'cancelled' then 'warning' else 'info' end,
         case when status = 'failed' then 'step failed: ' || error_class else 'execution ' || status end, finished_at)
) line (level, message, created_at)
where execution.created_at > %(start)s and execution.created_at <= %(end)s and finished_at is not null
    and (status <> 'succeeded' or pg_temp.dice(execution.id, 41) < 0.45)
order by line.created_at;
