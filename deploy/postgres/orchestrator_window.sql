-- The window in which ops_restore may log in. Run as a superuser in the database `postgres` of the server that holds `orchestrator`,
-- after orchestrator_roles.sql; PostgreSQL 16 or newer; may be run again at any time. The longest window stands here, where no code of
-- a runbook can stretch it: when it is over the password no longer counts, whether or not anybody closed it.
create schema if not exists ops_recovery;
revoke all on schema ops_recovery from public;
grant usage on schema ops_recovery to ops_window;

create or replace function ops_recovery.open_window(until timestamptz) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set datestyle = 'ISO' as $$
begin
    if until is null or until <= clock_timestamp() or until > clock_timestamp() + interval '4 hours' then
        raise exception 'a window ends within the next 4 hours, not at %', until using errcode = 'invalid_parameter_value';
    end if;
    execute format('alter role ops_restore login valid until %L', until);
end
$$;

create or replace function ops_recovery.close_window() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    alter role ops_restore nologin;
    perform pg_terminate_backend(pid) from pg_stat_activity where usename = 'ops_restore';
end
$$;

alter function ops_recovery.open_window(timestamptz) owner to ops_window_keeper;
alter function ops_recovery.close_window() owner to ops_window_keeper;
revoke execute on function ops_recovery.open_window(timestamptz), ops_recovery.close_window() from public;
grant execute on function ops_recovery.open_window(timestamptz), ops_recovery.close_window() to ops_window;
