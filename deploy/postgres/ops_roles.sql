-- Roles of the server that holds Airflow's metadata and the runbooks' own `ops` database. Run as a superuser in any database;
-- may be run again at any time. What the ops roles may do inside `ops` stands in its migrations.
do $$
declare
    name text;
begin
    foreach name in array array[
        'airflow', 'ops_owner', 'ops_evidence_writer', 'ops_evidence_reader', 'ops_runner', 'ops_approver'
    ] loop
        if not exists (select from pg_roles where rolname = name) then
            execute format('create role %I', name);
        end if;
    end loop;
end
$$;
alter role airflow login nosuperuser nocreatedb nocreaterole noreplication nobypassrls connection limit 70;
alter role airflow set lock_timeout = '30s';

-- Migrations only.
alter role ops_owner login nosuperuser nocreatedb nocreaterole noreplication nobypassrls connection limit 3;
alter role ops_owner set statement_timeout = '5min';
alter role ops_owner set lock_timeout = '5s';

alter role ops_evidence_writer login nosuperuser nocreatedb nocreaterole noreplication nobypassrls connection limit 20;
alter role ops_evidence_writer set statement_timeout = '10s';
alter role ops_evidence_writer set lock_timeout = '5s';
alter role ops_evidence_writer set idle_in_transaction_session_timeout = '15s';

alter role ops_evidence_reader login nosuperuser nocreatedb nocreaterole noreplication nobypassrls connection limit 5;
alter role ops_evidence_reader set default_transaction_read_only = on;
alter role ops_evidence_reader set statement_timeout = '60s';
alter role ops_evidence_reader set lock_timeout = '2s';
alter role ops_evidence_reader set idle_in_transaction_session_timeout = '60s';

-- Operations that change production: leases, journal, plans. It cannot approve what it plans.
alter role ops_runner login nosuperuser nocreatedb nocreaterole noreplication nobypassrls connection limit 20;
alter role ops_runner set statement_timeout = '10s';
alter role ops_runner set lock_timeout = '5s';
alter role ops_runner set idle_in_transaction_session_timeout = '15s';

-- Writes down who approved a plan, and nothing else.
alter role ops_approver login nosuperuser nocreatedb nocreaterole noreplication nobypassrls connection limit 5;
alter role ops_approver set statement_timeout = '10s';
alter role ops_approver set lock_timeout = '5s';
alter role ops_approver set idle_in_transaction_session_timeout = '15s';

revoke connect, temporary on database postgres, template1 from public;
