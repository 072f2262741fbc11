-- Roles of the server that holds `orchestrator`. Run as a superuser in any database, before orchestrator_grants.sql; may be
-- run again at any time. Passwords are set elsewhere: none stands in a file. No role is a superuser; each has time-outs and a
-- limit of its own, so that a runbook that goes wrong is cut off before the application feels it.
do $$
declare
    name text;
begin
    foreach name in array array[
        'orchestrator_owner', 'orchestrator_app', 'ops_health', 'ops_backup', 'ops_maint', 'ops_cleanup', 'ops_restore',
        'ops_window', 'ops_window_keeper'
    ] loop
        if not exists (select from pg_roles where rolname = name) then
            execute format('create role %I', name);
        end if;
    end loop;
end
$$;

-- Owns the schema. Nobody logs in as it: the application's migrations and a restore borrow it.
alter role orchestrator_owner nologin nosuperuser nocreatedb nocreaterole noreplication nobypassrls;

-- The application: its own rows, no schema changes.
alter role orchestrator_app login nosuperuser nocreatedb nocreaterole noreplication nobypassrls connection limit 60;
alter role orchestrator_app set statement_timeout = '30s';
alter role orchestrator_app set lock_timeout = '5s';
alter role orchestrator_app set idle_in_transaction_session_timeout = '60s';

-- Health check: looks, never writes; a check has ten seconds in all. It may use the sessions that `reserved_connections` keeps
-- free (PostgreSQL 16 or newer), so that it can still look when the application has taken all the others.
alter role ops_health login nosuperuser nocreatedb nocreaterole noreplication nobypassrls connection limit 10;
alter role ops_health set default_transaction_read_only = on;
alter role ops_health set statement_timeout = '10s';
alter role ops_health set lock_timeout = '2s';
alter role ops_health set idle_in_transaction_session_timeout = '15s';
grant pg_monitor, pg_use_reserved_connections to ops_health;

-- Backup: reads all of it and nothing else, rows behind a policy included: a dump that a policy thins out is no backup. Large objects
-- have no right that could be given for all of them, so their checks are off for this role, and orchestrator_grants.sql takes the
-- functions that write them away from everybody else. pg_dump sets its own statement time-out to none; the limit is for the rest.
alter role ops_backup login nosuperuser nocreatedb nocreaterole noreplication bypassrls connection limit 10;
alter role ops_backup set lo_compat_privileges = on;
alter role ops_backup set default_transaction_read_only = on;
alter role ops_backup set statement_timeout = '2h';
alter role ops_backup set lock_timeout = '30s';
alter role ops_backup set idle_in_transaction_session_timeout = '3h';
grant pg_read_all_data to ops_backup;

-- Maintenance: vacuum, analyze, reindex of any table (PostgreSQL 17 or newer), and the statistics that say where.
alter role ops_maint login nosuperuser nocreatedb nocreaterole noreplication nobypassrls connection limit 4;
alter role ops_maint set statement_timeout = '2h';
alter role ops_maint set lock_timeout = '3s';
alter role ops_maint set idle_in_transaction_session_timeout = '60s';
grant pg_maintain, pg_monitor to ops_maint;

-- Cleanup: no right of its own on any table; what it may do it does through functions that hold the floors (orchestrator_cleanup.sql).
alter role ops_cleanup login nosuperuser nocreatedb nocreaterole noreplication nobypassrls connection limit 2;
alter role ops_cleanup set statement_timeout = '5min';
alter role ops_cleanup set lock_timeout = '3s';
alter role ops_cleanup set idle_in_transaction_session_timeout = '60s';

-- Restore: may make a database, rename it and end the sessions of those who are no superusers, but logs in only while an approved
-- window is open. It is the owner of `orchestrator` and of all that is in it; where others own a part of it, `grant <them> to
-- ops_restore`, or a recovery is refused before it begins. It reads no password and passes no policy: ops_backup compares for it.
alter role ops_restore nologin nosuperuser createdb nocreaterole noreplication nobypassrls connection limit 10;
alter role ops_restore set statement_timeout = '4h';
alter role ops_restore set lock_timeout = '10s';
alter role ops_restore set idle_in_transaction_session_timeout = '10min';
grant orchestrator_owner, pg_signal_backend, pg_read_all_stats to ops_restore;

-- Who opens that window and closes it: by two functions (orchestrator_window.sql) that hold its length, and in no other way. Their
-- owner logs in nowhere; it is the only one who may alter ops_restore, and it cannot become it.
alter role ops_window login nosuperuser nocreatedb nocreaterole noreplication nobypassrls connection limit 3;
alter role ops_window set statement_timeout = '10s';
alter role ops_window set lock_timeout = '5s';
alter role ops_window set idle_in_transaction_session_timeout = '15s';
alter role ops_window_keeper nologin nosuperuser nocreatedb createrole noreplication nobypassrls;
grant ops_restore to ops_window_keeper with admin true, inherit false, set false;
grant pg_signal_backend to ops_window_keeper;

-- What PostgreSQL lets everybody do by default and nobody needs.
revoke connect, temporary on database postgres, template1 from public;
grant connect on database postgres to ops_restore, ops_window;
