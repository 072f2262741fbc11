-- Sixty workflows, all older than the first execution of the history.
insert into workflows (name, owner_id, created_at)
select
    (array['nightly', 'hourly', 'customer', 'invoice', 'support', 'sales', 'inventory', 'fraud', 'document', 'mail'])[1 + n %% 10]
        || '-' || (array['summary', 'triage', 'export', 'enrichment', 'review', 'sync'])[1 + n / 10] || '-' || n,
    1 + floor(120 * pg_temp.dice(n, 31)),
    %(now)s::timestamptz - (110 + 400 * pg_temp.dice(n, 32)) * interval '1 day'
from generate_series(0, 59) n
order by n;
