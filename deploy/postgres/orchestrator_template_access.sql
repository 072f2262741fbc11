-- Everybody with CREATEDB may make a database of the template; only the backup's role may look into it, so that a plan can say what it
-- lacks. Run as a superuser in any database after it was made; may be run again at any time.
alter database orchestrator_template is_template true;
revoke all on database orchestrator_template from public;
grant connect on database orchestrator_template to ops_backup;
