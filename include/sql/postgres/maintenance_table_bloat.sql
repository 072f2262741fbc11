-- How much of one table is dead or free? Skips the pages that are known to be all visible. PostgreSQL 14 or newer, extension pgstattuple.
select table_len as bytes, dead_tuple_len as dead_bytes, approx_free_space as free_bytes, scanned_percent
from pgstattuple_approx(%(oid)s::oid::regclass)
