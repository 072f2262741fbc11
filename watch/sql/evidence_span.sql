-- When did each of these DAGs first and last come to a verdict? PostgreSQL 9.5+.
-- Only that row proves a run: one that began, or skipped its slot, leaves rows too and has looked at nothing.
-- What claims to be from later than %(until)s has a wrong clock and proves nothing: it would hide every miss until then.
SELECT dag_id, min(observed_at), max(observed_at)
FROM ops.evidence
WHERE "check" = 'verdict' AND dag_id = ANY(%(dag_ids)s) AND observed_at <= %(until)s
GROUP BY dag_id
