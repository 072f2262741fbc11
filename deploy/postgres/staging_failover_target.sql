-- Marks a cluster as the one that the failover exercise may switch without asking anybody. Never run this in production.
insert into failover.target (environment, system_identifier)
select 'staging', system_identifier::text from pg_control_system()
on conflict do nothing;
