-- How fresh are the executions?
SELECT max(created_at) AS newest FROM workflow_executions WHERE created_at <= %(until)s
