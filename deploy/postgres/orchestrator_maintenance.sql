-- What the maintenance may do beside `pg_maintain`: drop the invalid copy that a rebuild of an index leaves when it is cut off. Run in
-- `orchestrator` as a superuser after orchestrator_roles.sql; may be run again at any time. The function holds the rules, whoever
-- calls: only an invalid index with the name of such a copy, without a constraint, and never while somebody works on its table.
create schema if not exists ops_maintenance authorization orchestrator_owner;
revoke all on schema ops_maintenance from public;
grant usage on schema ops_maintenance to ops_maint;

-- Drops it and returns nothing, or says why not. To drop it takes the strongest lock of the table for a moment, and whoever comes while
-- it waits for that has to wait behind it: so it waits for a fifth of a second only (55P03, to be tried again).
create or replace function ops_maintenance.drop_leftover(leftover oid) returns text
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    set lock_timeout = '200ms'
as $$
declare
    standing record;
begin
    select n.nspname as index_schema, c.relname as name, tn.nspname as table_schema, t.relname as table_name
    into standing
    from pg_index as i
    join pg_class as c on c.oid = i.indexrelid join pg_namespace as n on n.oid = c.relnamespace
    join pg_class as t on t.oid = i.indrelid join pg_namespace as tn on tn.oid = t.relnamespace
    where i.indexrelid = leftover;
    if not found then
        return 'it is gone already';
    elsif standing.name !~ '_cc(new|old)[0-9]*$' then
        return format('%s has not the name of a leftover', standing.name);
    end if;
    -- Whoever builds an index of this table holds this lock to the end; what is looked at behind it stays so.
    execute format('lock table %I.%I in share update exclusive mode nowait', standing.table_schema, standing.table_name);
    if exists (select from pg_index as i where i.indexrelid = leftover and i.indisvalid) then
        return format('%s is valid', standing.name);
    elsif exists (select from pg_constraint where conindid = leftover) then
        return format('a constraint stands on %s', standing.name);
    end if;
    execute format('drop index if exists %I.%I', standing.index_schema, standing.name);
    return null;
end;
$$;
alter function ops_maintenance.drop_leftover(oid) owner to orchestrator_owner;
revoke all on function ops_maintenance.drop_leftover(oid) from public;
grant execute on function ops_maintenance.drop_leftover(oid) to ops_maint;
