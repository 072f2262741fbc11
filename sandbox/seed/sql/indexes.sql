-- What tables.sql left out until the rows were in: building an index once is faster than growing it.
alter table users add constraint users_email_key unique (email);
alter table api_keys
    add constraint api_keys_key_hash_key unique (key_hash),
    add constraint api_keys_user_id_fkey foreign key (user_id) references users (id);
alter table workflows
    add constraint workflows_name_key unique (name),
    add constraint workflows_owner_id_fkey foreign key (owner_id) references users (id);
alter table workflow_versions
    add constraint workflow_versions_workflow_id_version_key unique (workflow_id, version),
    add constraint workflow_versions_workflow_id_fkey foreign key (workflow_id) references workflows (id) on delete cascade;
alter table workflows
    add constraint workflows_active_version_id_fkey foreign key (active_version_id) references workflow_versions (id) deferrable,
    add constraint workflows_pinned_version_id_fkey foreign key (pinned_version_id) references workflow_versions (id) deferrable;
alter table workflow_executions
    add constraint workflow_executions_workflow_id_fkey foreign key (workflow_id) references workflows (id),
    add constraint workflow_executions_workflow_version_id_fkey
        foreign key (workflow_version_id) references workflow_versions (id),
    add constraint workflow_executions_user_id_fkey foreign key (user_id) references users (id);
create index workflow_executions_created_at_idx on workflow_executions (created_at);
create index workflow_executions_finished_at_idx on workflow_executions (finished_at);
create index workflow_executions_workflow_id_idx on workflow_executions (workflow_id, created_at);
create index workflow_executions_open_idx on workflow_executions (status, created_at) where status in ('queued', 'running');
alter table execution_logs
    add constraint execution_logs_execution_id_fkey foreign key (execution_id) references workflow_executions (id);
create index execution_logs_execution_id_idx on execution_logs (execution_id);
create index execution_logs_created_at_idx on execution_logs (created_at);
alter table audit_logs add constraint audit_logs_actor_id_fkey foreign key (actor_id) references users (id);
create index audit_logs_created_at_idx on audit_logs (created_at);
create index audit_logs_actor_id_idx on audit_logs (actor_id, created_at);
alter table events add constraint events_user_id_fkey foreign key (user_id) references users (id);
create index events_ts_idx on events (ts);
alter table billing add constraint billing_user_id_fkey foreign key (user_id) references users (id);
create index billing_recorded_at_idx on billing (recorded_at);
create index "AuditExport_createdAt" on "AuditExport" ("createdAt");
