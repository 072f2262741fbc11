-- How full are the leaves of one B-tree? Reads the whole index. PostgreSQL 14 or newer, extension pgstattuple.
select leaf_pages, avg_leaf_density, (leaf_pages + internal_pages + empty_pages + deleted_pages) as pages
from pgstatindex(%(oid)s::oid::regclass)
