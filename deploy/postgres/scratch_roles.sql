-- Roles of the scratch server, where backups are restored and compared. Run as a superuser in `template1`, after
-- extensions.sql ran there; may be run again at any time.
do $$
begin
    if not exists (select from pg_roles where rolname = 'ops_verify') then
        create role ops_verify;
    end if;
end
$$;
alter role ops_verify login nosuperuser createdb nocreaterole noreplication nobypassrls connection limit 10;
alter role ops_verify set statement_timeout = '2h';
alter role ops_verify set lock_timeout = '30s';
alter role ops_verify set idle_in_transaction_session_timeout = '10min';
revoke connect, temporary on database postgres, template1 from public;
grant connect on database postgres to ops_verify;
grant execute on function bt_index_check(regclass), bt_index_check(regclass, boolean) to ops_verify;
-- A database made from template1 keeps these: the tables of a restored dump go where they were.
grant usage, create on schema public to ops_verify;
