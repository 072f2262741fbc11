-- What the failover exercise finds on its pair. Run as a superuser in the database `postgres` of the primary; may be run again at any
-- time. Without its row in failover.target the exercise refuses to begin: staging_failover_target.sql writes that of staging, and a
-- person that of production (docs/runbooks/production_failover_exercise.md).
--
-- ops_failover reads how replication stands and writes numbers into a table of its own; it switches nothing, Patroni does.
do $$
begin
    if not exists (select from pg_roles where rolname = 'ops_failover') then
        create role ops_failover;
    end if;
end
$$;
alter role ops_failover login nosuperuser nocreatedb nocreaterole noreplication nobypassrls connection limit 10;
alter role ops_failover set statement_timeout = '10s';
alter role ops_failover set lock_timeout = '2s';
alter role ops_failover set idle_in_transaction_session_timeout = '15s';
grant pg_monitor to ops_failover;
create schema if not exists failover;
-- Which cluster may be exercised: the identifier is written down here, once, and compared with the server's own.
create table if not exists failover.target (
    environment text not null check (environment in ('staging', 'production')),
    system_identifier text not null,
    recorded_at timestamptz not null default now()
);
create unique index if not exists one_target on failover.target ((true));
-- Which exercise began, from which member, and whether it was brought home. It travels with the data to the other member.
create table if not exists failover.exercise (
    id text primary key,
    home text not null,
    began_at timestamptz not null default now(),
    ended_at timestamptz
);
-- No key on purpose: a number that is there twice must be seen.
create table if not exists failover.probe (
    run text not null,
    n bigint not null
);
create index if not exists probe_run on failover.probe (run);
grant usage on schema failover to ops_failover;
grant select on failover.target to ops_failover;
grant select, insert, delete on failover.probe to ops_failover;
grant select, insert, update (ended_at) on failover.exercise to ops_failover;
