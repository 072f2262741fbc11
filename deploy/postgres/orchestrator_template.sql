-- What only a superuser may change in a database. Run as a superuser, after orchestrator_roles.sql and extensions.sql ran: in
-- `orchestrator`, and in `orchestrator_template`, of which a recovery makes the new database: it is no superuser, and what stands here
-- would be lost by it without a word. Whatever else a superuser adds to `orchestrator` (an event trigger, a publication of all tables,
-- an extension) belongs into both, too. May be run again at any time. The template is made once: `create database
-- orchestrator_template`, then extensions.sql, this file and orchestrator_template_access.sql in it.

-- Maintenance looks into indexes before it rebuilds one.
grant execute on function bt_index_check(regclass), bt_index_check(regclass, boolean) to ops_maint;

-- Backup reads every large object, for which there is no right but to leave their checks off; so what writes them is for those who
-- write, and not for everybody.
revoke execute on function lo_unlink(oid), lowrite(integer, bytea), lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea),
    lo_put(oid, bigint, bytea), lo_truncate(integer, integer), lo_truncate64(integer, bigint) from public;
grant execute on function lo_unlink(oid), lowrite(integer, bytea), lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea),
    lo_put(oid, bigint, bytea), lo_truncate(integer, integer), lo_truncate64(integer, bigint) to orchestrator_owner, orchestrator_app;
