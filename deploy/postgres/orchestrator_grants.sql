-- Rights inside the database `orchestrator`. Run there as a superuser after the application's schema exists and
-- orchestrator_roles.sql ran; may be run again at any time.
revoke all on database orchestrator from public;
grant connect on database orchestrator to orchestrator_app, ops_health, ops_backup, ops_maint, ops_cleanup, ops_restore;
grant temporary on database orchestrator to orchestrator_app;
revoke all on schema public from public;
grant usage on schema public to orchestrator_app, ops_health, ops_maint;

grant select, insert, update, delete on all tables in schema public to orchestrator_app;
grant usage, select on all sequences in schema public to orchestrator_app;
alter default privileges for role orchestrator_owner in schema public
    grant select, insert, update, delete on tables to orchestrator_app;
alter default privileges for role orchestrator_owner in schema public grant usage, select on sequences to orchestrator_app;

-- The health check counts people and money. Names, addresses, key hashes, definitions and messages are not its business.
grant select (id, role, created_at, last_login_at, disabled_at) on users to ops_health;
grant select (id, user_id, prefix, scopes, created_at, last_used_at, revoked_at) on api_keys to ops_health;
grant select on workflows, workflow_executions, events, billing to ops_health;
grant select (id, workflow_id, version, created_at) on workflow_versions to ops_health;
grant select (id, execution_id, level, created_at) on execution_logs to ops_health;

-- The one write of the health check, always rolled back: it shows that the primary takes writes.
create schema if not exists ops_probe authorization orchestrator_owner;
create table if not exists ops_probe.writable (at timestamptz not null default now());
alter table ops_probe.writable owner to orchestrator_owner;
revoke all on schema ops_probe from public;
grant usage on schema ops_probe to ops_health, ops_maint;
grant insert on ops_probe.writable to ops_health;
