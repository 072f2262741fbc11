-- How far is a vacuum, an analyze or the build of an index? PostgreSQL 14 or newer.
select phase, done, total from (
    select pid, 'vacuum: ' || phase as phase, heap_blks_scanned as done, heap_blks_total as total from pg_stat_progress_vacuum
    union all
    select pid, 'index: ' || phase, greatest(blocks_done, tuples_done), greatest(blocks_total, tuples_total)
    from pg_stat_progress_create_index
    union all
    select pid, 'analyze: ' || phase, sample_blks_scanned, sample_blks_total from pg_stat_progress_analyze
) as at_work
where pid = %(pid)s
