-- Which of these executions does this database have? Asked before queue items that refer to others are set aside.
SELECT id FROM workflow_executions WHERE id = ANY(%(ids)s)
