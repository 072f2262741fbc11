-- When did each of these DAGs leave its first and its newest evidence? PostgreSQL 9.5+.
-- What claims to be from later than %(until)s has a wrong clock and proves nothing: it would hide every miss until then.
SELECT dag_id, min(observed_at), max(observed_at)
FROM ops.evidence
WHERE dag_id = ANY(%(dag_ids)s) AND observed_at <= %(until)s
GROUP BY dag_id
