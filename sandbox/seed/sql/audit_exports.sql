-- A few lines of the old export.
insert into "AuditExport" ("exportedBy", "File name", "createdAt")
select 1 + n %% 6, 'Audit ' || to_char(at, 'YYYY "week" IW') || '.csv', at
from generate_series(0, 29) n, lateral (select %(now)s::timestamptz - n * interval '7 days' as at) week
order by n desc;
