-- Where did the login of the maintenance arrive, as whom, and may it maintain there and nothing else? PostgreSQL 14 or newer.
select
    current_database() as database,
    (select system_identifier::text from pg_control_system()) as system_identifier,
    current_setting('server_version_num')::int / 10000 as major,
    pg_is_in_recovery() as in_recovery,
    current_user::text as role,
    rolsuper as is_superuser,
    pg_has_role('pg_monitor', 'usage') as monitors,
    exists (select from pg_roles as m where m.rolname = 'pg_maintain' and pg_has_role(m.oid, 'usage')) as maintains,
    exists (select from pg_extension where extname = 'pgstattuple') as measures,
    to_regprocedure('ops_maintenance.drop_leftover(oid)') is not null as sweeps,
    clock_timestamp() as now
from pg_roles where rolname = current_user
