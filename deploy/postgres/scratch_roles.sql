-- Roles of the scratch server, where backups are restored and compared. Run as a superuser in `template1`, after
-- extensions.sql ran there; may be run again at any time. This server holds nothing but what is being compared, so its one role may
-- make databases, make the roles that a backup's grants and policies name (without a login), and read past policies.
do $$
begin
    if not exists (select from pg_roles where rolname = 'ops_verify') then
        create role ops_verify;
    end if;
end
$$;
alter role ops_verify login nosuperuser createdb createrole noreplication bypassrls connection limit 20;
alter role ops_verify set statement_timeout = '2h';
alter role ops_verify set lock_timeout = '30s';
alter role ops_verify set idle_in_transaction_session_timeout = '10min';
grant pg_read_all_data to ops_verify;
revoke connect, temporary on database postgres, template1 from public;
grant connect on database postgres to ops_verify;
grant execute on function bt_index_check(regclass), bt_index_check(regclass, boolean) to ops_verify;
-- A database made from template1 keeps these: the tables of a restored dump go where they were.
grant usage, create on schema public to ops_verify;
